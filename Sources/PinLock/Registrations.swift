import GuestMemory
import Linux

/// The ranges that a device keeps pinned beyond a DMA, in the counted tree; in order, none overlapping another.
///
/// A DMA inside them needs no pin of its own: it gets a token, a `Pin` without a journal entry. Nothing is let go while
/// a token is out, whatever a conversion asks for. A token has its device's life for a
/// ticket: one from before a death is none.
final class Registrations {
    struct Registration {
        let range: PageRange
        /// Nil while it is let go.
        var pin: Pin?
        /// When it was last used: for those who keep the most recent.
        var lastUse: UInt64 = 0
        /// Which was looked up behind it the last time: a request's ranges come in no order, but the next request's may come
        /// in the same.
        var successor = 0
    }

    /// Marks a token.
    private static let registered = -1

    private let tree: CountedPins<ForestCover>
    private let device: DeviceID
    private let life: UInt64
    private(set) var all: [Registration] = []
    /// Pages in all of them.
    private(set) var pages: UInt64 = 0
    /// Which was looked up last.
    private var last = 0
    private var tokens = 0
    private var revocationsSeen: UInt32

    init(_ tree: CountedPins<ForestCover>, device: DeviceID) {
        self.tree = tree
        self.device = device
        life = tree.journal.life
        revocationsSeen = tree.coordination.revocationCount
    }

    var isInUse: Bool { tokens > 0 }

    @inline(__always)
    func isPinned(_ index: Int) -> Bool { all[index].pin != nil }

    /// Pins a range that overlaps none of them, and keeps it.
    func add(_ range: PageRange) throws(PinRefusal) {
        insert(range, try tree.pin(range))
    }

    /// Pins what `range` and the registrations that overlap it make up together, and keeps it in their stead. Returns
    /// how many there were. Never is a page of theirs without a pin: their tokens stay good.
    func merge(_ range: PageRange) throws(PinRefusal) -> Int {
        let overlapping = all.indices.filter { all[$0].range.overlaps(range) }
        let parts = [range] + overlapping.map { all[$0].range }
        let lower = parts.map(\.lower).min()!
        let whole = PageRange(start: lower, count: parts.map(\.upper).max()! - lower)
        let pin = try tree.pin(whole)
        for index in overlapping.reversed() { remove(index) }
        insert(whole, pin)
        return overlapping.count
    }

    private func insert(_ range: PageRange, _ pin: Pin) {
        all.insert(Registration(range: range, pin: pin), at: place(of: range))
        pages += range.count.rawValue
    }

    func remove(_ index: Int) {
        letGo(index)
        pages -= all.remove(at: index).range.count.rawValue
    }

    func removeAll() {
        precondition(tokens == 0, "\(device) unregisters under \(tokens) pins")
        for index in all.indices { letGo(index) }
        all = []
        pages = 0
    }

    private func letGo(_ index: Int) {
        if let pin = all[index].pin { tree.unpin(pin) }
        all[index].pin = nil
    }

    /// Takes one back that was let go. Fails if anything in it is private or being converted.
    @inline(never)
    func takeBack(_ index: Int) throws(PinRefusal) {
        all[index].pin = try tree.pin(all[index].range)
    }

    @inline(__always)
    func touch(_ index: Int, at time: UInt64) { all[index].lastUse = time }

    // MARK: Tokens

    /// One for a whole list, which begins with `range`.
    @inline(__always)
    func token(for range: PageRange) -> Pin {
        tokens += 1
        return Pin(range: range, device: device, entry: Self.registered, ticket: life)
    }

    @inline(__always)
    static func isToken(_ pin: Pin) -> Bool { pin.entry == registered }

    /// False where the pin is no token but one of the tree's.
    @inline(__always)
    func giveBack(_ pin: Pin) -> Bool {
        guard Self.isToken(pin) else { return false }
        precondition(
            pin.device == device && pin.ticket == life && tokens > 0,
            "unpin of a pin that \(device) does not hold")
        tokens -= 1
        return true
    }

    // MARK: Revocation

    /// Whether a conversion has asked for pins, and none of them is in use.
    @inline(__always)
    var isAskedFor: Bool { tree.coordination.revocationCount != revocationsSeen && tokens == 0 }

    /// Lets every registration go that has a closed page in it.
    @inline(never)
    func letGoOfWhatIsClosed() {
        revocationsSeen = tree.coordination.revocationCount
        for index in all.indices
        where all[index].pin != nil && tree.cover.forest.firstClosed(in: all[index].range) != nil {
            letGo(index)
        }
    }

    // MARK: Looking up

    /// The registration that has all of the range: the one that came behind the last one before, else by binary search.
    @inline(__always)
    func index(containing range: PageRange) -> Int? {
        guard last < all.count else { return search(range) }
        let index = all[last].successor
        guard index < all.count, all[index].range.contains(range) else { return search(range) }
        last = index
        return index
    }

    /// Whether one of them has all of the range; what the next look-up expects stays as it is.
    func contain(_ range: PageRange) -> Bool {
        let next = place(of: range)
        return next > 0 && all[next - 1].range.contains(range)
    }

    @inline(never)
    private func search(_ range: PageRange) -> Int? {
        let next = place(of: range)
        guard next > 0, all[next - 1].range.contains(range) else { return nil }
        if last < all.count { all[last].successor = next - 1 }
        last = next - 1
        return last
    }

    /// How many begin where the range does, or before.
    private func place(of range: PageRange) -> Int {
        var low = 0
        var high = all.count
        while low < high {
            let middle = (low + high) / 2
            if all[middle].range.lower <= range.lower { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
