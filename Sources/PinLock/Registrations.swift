import DmaLinux
import GuestMemory

/// The ranges that a device keeps pinned beyond a DMA, in the counted tree; none overlaps another.
///
/// A DMA inside them needs no pin of its own: it gets a token, a `Pin` without a journal entry. Nothing is let go while
/// a token is out, whatever a conversion asks for. A token has its device's life for a
/// ticket: one from before a death is none.
final class Registrations {
    private struct Registration {
        let range: PageRange
        /// Nil while it is let go.
        var pin: Pin?
    }

    /// Marks a token.
    private static let registered = -1

    private let tree: CountedPins<ForestCover>
    private let device: DeviceID
    private let life: UInt64
    /// By number, below `end`; nil where the number is free. Room for as many as the journal has, touched as it is needed.
    private let all: UnsafeMutablePointer<Registration?>
    private var end = 0
    private var freeNumbers: [Int] = []
    /// When each was last used: written by those who keep the most recent. Apart from the rest, since a hit touches nothing
    /// else.
    let lastUses: UnsafeMutablePointer<UInt64>
    /// Numbers plus one.
    private let map: PageMap
    /// Pages in all of them.
    private(set) var pages: UInt64 = 0
    /// How many are let go for now.
    private var letGoCount = 0
    private var tokens = 0
    private var revocationsSeen: UInt32

    init(_ tree: CountedPins<ForestCover>, device: DeviceID) {
        self.tree = tree
        self.device = device
        life = tree.journal.life
        revocationsSeen = tree.coordination.revocationCount
        map = PageMap(pages: tree.pages)
        all = .allocate(capacity: Journal.capacity)
        lastUses = .allocate(capacity: Journal.capacity)
    }

    deinit {
        map.free()
        all.deallocate()
        lastUses.deallocate()
    }

    var isInUse: Bool { tokens > 0 }
    var count: Int { end - freeNumbers.count }
    var numbers: [Int] { (0..<end).filter { all[$0] != nil } }

    func isPinned(_ index: Int) -> Bool { all[index]?.pin != nil }

    /// Pins a range that overlaps none of them, and keeps it.
    func add(_ range: PageRange) throws(PinRefusal) {
        // What is let go has no pin, and still its number.
        guard count < Journal.capacity else { throw .tooManyPins(range.start) }
        insert(range, try tree.pin(range))
    }

    /// Pins what `range` and the registrations that overlap it make up together, and keeps it in their stead. Returns
    /// how many there were. Never is a page of theirs without a pin: their tokens stay good.
    func merge(_ range: PageRange) throws(PinRefusal) -> Int {
        // The map has no place for what the guest has not.
        guard range.upper <= tree.pages.rawValue else {
            throw PinRefusal.outside(range, tree.pages)
        }
        let overlapping = indices(overlapping: range)
        let parts = [range] + overlapping.map { all[$0]!.range }
        let lower = parts.map(\.lower).min()!
        let whole = PageRange(start: lower, count: parts.map(\.upper).max()! - lower)
        let pin = try tree.pin(whole)
        for index in overlapping { remove(index) }
        insert(whole, pin)
        return overlapping.count
    }

    private func indices(overlapping range: PageRange) -> [Int] {
        var found: [Int] = []
        var page = range.lower
        while page < range.upper,
            let taken = map.firstTaken(in: PageRange(start: page, count: range.upper - page))
        {
            found.append(Int(map[taken]) - 1)
            page = all[found.last!]!.range.upper
        }
        return found
    }

    private func insert(_ range: PageRange, _ pin: Pin) {
        let index = freeNumbers.popLast() ?? end
        if index == end { end += 1 }
        all[index] = Registration(range: range, pin: pin)
        lastUses[index] = 0
        map.set(range, to: UInt32(index + 1))
        pages += range.count.rawValue
    }

    func remove(_ index: Int) {
        let registration = all[index]!
        if let pin = registration.pin { tree.unpin(pin) } else { letGoCount -= 1 }
        map.set(registration.range, to: 0)
        all[index] = nil
        freeNumbers.append(index)
        pages -= registration.range.count.rawValue
    }

    func removeAll() {
        precondition(tokens == 0, "\(device) unregisters under \(tokens) pins")
        for index in numbers { remove(index) }
        end = 0
        freeNumbers = []
    }

    private func letGo(_ index: Int) {
        tree.unpin(all[index]!.pin!)
        all[index]!.pin = nil
        letGoCount += 1
    }

    /// Takes one back that was let go. Fails if anything in it is private or being converted.
    @inline(never)
    func takeBack(_ index: Int) throws(PinRefusal) {
        all[index]!.pin = try tree.pin(all[index]!.range)
        letGoCount -= 1
    }

    /// The one that was used longest ago, and when.
    func oldest() -> (index: Int, lastUse: UInt64)? {
        var oldest: (index: Int, lastUse: UInt64)?
        for index in 0..<end where all[index] != nil && lastUses[index] < oldest?.lastUse ?? .max {
            oldest = (index, lastUses[index])
        }
        return oldest
    }

    // MARK: Tokens

    /// One for a whole list, which begins with `range`.
    @inline(__always)
    func token(for range: PageRange) -> Pin {
        tokens &+= 1
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
        tokens &-= 1
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
        for index in numbers
        where all[index]!.pin != nil && tree.cover.forest.firstClosed(in: all[index]!.range) != nil
        {
            letGo(index)
        }
    }

    // MARK: Looking up

    /// Looks the ranges up from the place `start` on and calls `found` with the registration of each, until it comes to one
    /// that none has all of, or none that is pinned: returns its place, or how many there are.
    @inline(__always)
    func firstMiss(
        in ranges: Span<PageRange>, from start: Int = 0, _ found: (Int) -> Void = { _ in }
    ) -> Int {
        // Looked at once: nothing changes meanwhile.
        let (map, isSparse) = (map, letGoCount > 0)
        for place in start..<ranges.count {
            let range = ranges[place]
            let index = Int(map.first(of: range)) &- 1
            guard index >= 0, range.count.rawValue == 1 || contains(index, range),
                !isSparse || isPinned(index)
            else { return place }
            found(index)
        }
        return ranges.count
    }

    /// The registration that has all of the range.
    func index(containing range: PageRange) -> Int? {
        let index = Int(map.first(of: range)) - 1
        return index >= 0 && contains(index, range) ? index : nil
    }

    @inline(__always)
    private func contains(_ index: Int, _ range: PageRange) -> Bool {
        all[index]?.range.contains(range) == true
    }
}
