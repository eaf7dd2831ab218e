import DmaLinux
import GuestMemory
import Synchronization

/// What one device holds, written by the device before it touches any count, read by whoever recovers it.
///
/// An entry is two words: the range, and a state with a ticket number. It goes
///
///     free → intent → held → releasing → free
///
/// and is `held` exactly while all of the pin's counts are in place. A device that dies between `intent` and
/// `held`, or between `releasing` and `free`, leaves some of its counts behind; which, only a rebuild can tell.
struct Journal {
    enum State: UInt64 {
        case free = 0
        case intent = 1
        case held = 2
        case releasing = 3
    }

    struct Entry {
        /// Start in the upper half, count less one in the lower: any range within 2^32 frames. Of a pin of several
        /// ranges the place of its list instead.
        let range: UnsafeMutablePointer<Atomic<UInt64>>
        /// Ticket in the upper 62 bits, state in the lower two.
        let state: UnsafeMutablePointer<Atomic<UInt64>>
    }

    /// Pins a device can hold at once.
    static let capacity = 65_536
    private static let entryByteCount = 16
    private static let headerByteCount = 4096
    private static let annexOffset = headerByteCount + capacity * entryByteCount
    /// Bytes beside each entry that a strategy has for itself, to link pins with; zero until it writes them.
    static let annexByteCount = 32
    private static let listOffset = annexOffset + capacity * annexByteCount

    /// The most ranges that a pin has, and pins of more than one that a device can hold at once. Each such list has a place
    /// for as many: none is ever moved, or goes around an end.
    static let rangeLimit = 1024
    static let listCapacity = 64
    private static let listByteCount = rangeLimit * 8
    static let byteCount = listOffset + listCapacity * listByteCount

    let device: DeviceID
    private let base: UnsafeMutableRawPointer

    init(at base: UnsafeMutableRawPointer, device: DeviceID) {
        self.base = base
        self.device = device
    }

    /// Entries from this one on have never been used.
    var highWater: UnsafeMutablePointer<Atomic<UInt64>> {
        base.assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    /// Whether the device is known to be dead and its pins are not yet recovered. Written by the hypervisor.
    var isAbandoned: Bool {
        get { abandoned.pointee.load(ordering: .acquiring) != 0 }
        nonmutating set { abandoned.pointee.store(newValue ? 1 : 0, ordering: .releasing) }
    }

    private var abandoned: UnsafeMutablePointer<Atomic<UInt64>> {
        (base + 64).assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    /// Whether the device has come to a mutex and not left it behind yet, for pins under one: it outlasts the entry's
    /// own state, which settles with the mutex in hand. Written by the device; by the hypervisor once that is dead.
    var isAtMutex: Bool {
        get { atMutex.pointee.load(ordering: .acquiring) != 0 }
        nonmutating set { atMutex.pointee.store(newValue ? 1 : 0, ordering: .releasing) }
    }

    private var atMutex: UnsafeMutablePointer<Atomic<UInt64>> {
        (base + 128).assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    /// Why the device's process is not registered for the barrier: an error number, 0 where it is. Written by the
    /// device before its first pin; by the hypervisor once that is dead.
    ///
    /// Sequentially consistent, as the freeze is: a recovery that freezes and then reads it, and a device that writes it
    /// and then looks for a freeze, cannot miss each other, and no barrier is needed for that.
    var barrierRefusal: Int32 {
        get { Int32(truncatingIfNeeded: refusal.pointee.load(ordering: .sequentiallyConsistent)) }
        nonmutating set {
            refusal.pointee.store(UInt64(newValue), ordering: .sequentiallyConsistent)
        }
    }

    private var refusal: UnsafeMutablePointer<Atomic<UInt64>> {
        (base + 192).assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    /// How often the device has joined: its life now, which no token of an earlier one has. Written by the device.
    var lives: UInt64 {
        get { joined.pointee.load(ordering: .relaxed) }
        nonmutating set { joined.pointee.store(newValue, ordering: .relaxed) }
    }

    private var joined: UnsafeMutablePointer<Atomic<UInt64>> {
        (base + 256).assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    /// Whether the device waits for the end of a freeze, until it has come past it. Written by the device; by the
    /// hypervisor once that is dead.
    ///
    /// Sequentially consistent, as the freeze is: a device says that it waits and then looks which freeze there is, a
    /// recovery ends that and then looks who waits.
    var isWaiting: Bool {
        get { waiting.pointee.load(ordering: .sequentiallyConsistent) != 0 }
        nonmutating set {
            waiting.pointee.store(newValue ? 1 : 0, ordering: .sequentiallyConsistent)
        }
    }

    private var waiting: UnsafeMutablePointer<Atomic<UInt64>> {
        (base + 320).assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    @inline(__always)
    func entry(_ index: Int) -> Entry {
        let words = (base + (Self.headerByteCount &+ index &* Self.entryByteCount))
            .assumingMemoryBound(to: Atomic<UInt64>.self)
        return Entry(range: words, state: words + 1)
    }

    /// What a strategy keeps beside an entry.
    @inline(__always)
    func annex(_ index: Int) -> UnsafeMutableRawPointer {
        base + Self.annexOffset + index * Self.annexByteCount
    }

    @inline(__always)
    static func pack(_ range: PageRange) -> UInt64 {
        range.lower << 32 | (range.count.rawValue - 1)
    }

    @inline(__always)
    static func unpack(_ word: UInt64) -> PageRange {
        PageRange(start: word >> 32, count: (word & 0xffff_ffff) &+ 1)
    }

    // MARK: Lists

    /// The words of a list, each as `pack` has it.
    @inline(__always)
    func list(_ index: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        (base + Self.listOffset + index * Self.listByteCount)
            .assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    /// Writes the ranges down, each word with release: some read the lists of living devices. Returns their hull, from the
    /// lowest page to the highest; refuses what reaches past a guest of so many pages.
    @inline(__always)
    static func write(
        _ ranges: Span<PageRange>, to words: UnsafeMutablePointer<Atomic<UInt64>>,
        within pages: PageCount
    ) throws(PinRefusal) -> PageRange {
        precondition(ranges.count <= rangeLimit, "a pin of \(ranges.count) ranges")
        var (lower, upper) = (UInt64.max, UInt64(0))
        for index in ranges.indices {
            let range = ranges[index]
            words[index].store(pack(range), ordering: .releasing)
            lower = min(lower, range.lower)
            upper = max(upper, range.upper)
        }
        guard upper <= pages.rawValue else { throw PinRefusal.outside(ranges, pages) }
        return PageRange(start: lower, count: upper &- lower)
    }

    /// What stands in an entry for `count` ranges in a list: no range begins with the last frame and has two.
    @inline(__always)
    static func reference(to list: Int, count: Int) -> UInt64 {
        0xffff_ffff << 32 | UInt64(list &* rangeLimit &+ count)
    }

    /// Which list an entry's word stands for, and how many ranges it has; nil where the word is a range.
    @inline(__always)
    private static func place(of word: UInt64) -> (list: Int, count: Int)? {
        guard word >> 32 == 0xffff_ffff, word & 0xffff_ffff != 0 else { return nil }
        let last = Int(word & 0xffff_ffff) - 1
        return (last / rangeLimit % listCapacity, last % rangeLimit + 1)
    }

    /// Calls `body` with each range that an entry's word stands for, until it returns false; returns whether it never did.
    ///
    /// Of a living device's entry the words may be those of a later pin by now, and mixed; they are always ranges of its
    /// own lists.
    @inline(__always)
    func forEachRange(_ word: UInt64, _ body: (PageRange) -> Bool) -> Bool {
        guard let (list, count) = Self.place(of: word) else { return body(Self.unpack(word)) }
        let words = self.list(list)
        for index in 0..<count {
            guard body(Self.unpack(words[index].load(ordering: .acquiring))) else { return false }
        }
        return true
    }

    /// The same as a list.
    func ranges(_ word: UInt64) -> [PageRange] {
        var ranges: [PageRange] = []
        _ = forEachRange(word) {
            ranges.append($0)
            return true
        }
        return ranges
    }

    /// Every entry that is not free, with its index.
    func liveEntries() -> [(index: Int, state: State, ranges: [PageRange])] {
        var found: [(index: Int, state: State, ranges: [PageRange])] = []
        for index in 0..<Int(highWater.pointee.load(ordering: .acquiring)) {
            let entry = entry(index)
            let state = State(rawValue: entry.state.pointee.load(ordering: .acquiring) & 3)!
            guard state != .free else { continue }
            found.append((index, state, ranges(entry.range.pointee.load(ordering: .relaxed))))
        }
        return found
    }

    /// The pins whose counts are all in place, while nobody is inside a pin or an unpin.
    var heldPins: [PageRange] { liveEntries().filter { $0.state == .held }.flatMap(\.ranges) }

    /// Of a dead device's torn pin nothing is left outside `rest`, which has no more ranges than it had.
    func shorten(_ index: Int, to rest: [PageRange]) {
        let word = entry(index).range
        guard rest.count > 1 else {
            return word.pointee.store(Self.pack(rest[0]), ordering: .releasing)
        }
        let list = Self.place(of: word.pointee.load(ordering: .relaxed))!.list
        for (number, range) in rest.enumerated() {
            self.list(list)[number].store(Self.pack(range), ordering: .relaxed)
        }
        word.pointee.store(Self.reference(to: list, count: rest.count), ordering: .releasing)
    }

    /// Marks an entry of a dead device as done with. The ticket stays, and the device's next life goes on from it.
    func clear(_ index: Int) {
        let state = entry(index).state
        let ticket = state.pointee.load(ordering: .relaxed) & ~3
        state.pointee.store(ticket | State.free.rawValue, ordering: .releasing)
    }
}

/// The device's own hand on its journal: one thread of one process.
///
/// Which entries are free is kept in private memory; a device starts with an empty journal (fresh, or recovered).
final class JournalWriter {
    private let journal: Journal
    private let coordination: Coordination
    private let pages: PageCount
    var device: DeviceID { journal.device }
    /// See `Journal.lives`.
    let life: UInt64
    /// Entries used and free again: a stack whose depth is the first element.
    private let free: UnsafeMutablePointer<UInt32>
    /// Lists that are free: another such stack.
    private let freeLists: UnsafeMutablePointer<UInt32>

    init(_ device: DeviceID, in arena: Arena) {
        let journal = arena.journal(of: device)
        precondition(
            journal.liveEntries().isEmpty, "\(journal.device) has pins that were never recovered")
        do throws(SystemError) {
            try ProcessBarrier.register()
            journal.barrierRefusal = 0
        } catch {
            // A recovery's barrier does not reach us: it says so where it needs to.
            journal.barrierRefusal = error.code
        }
        journal.lives += 1
        life = journal.lives
        self.journal = journal
        coordination = arena.coordination
        pages = arena.pages
        free = .allocate(capacity: Journal.capacity + 1)
        free[0] = 0
        freeLists = .allocate(capacity: Journal.listCapacity + 1)
        freeLists[0] = 0
        for list in (0..<Journal.listCapacity).reversed() { Self.push(list, on: freeLists) }
        let used = Int(journal.highWater.pointee.load(ordering: .relaxed))
        for index in stride(from: used - 1, through: 0, by: -1) { Self.push(index, on: free) }
    }

    deinit {
        free.deallocate()
        freeLists.deallocate()
    }

    /// See `Journal.isAtMutex`.
    @inline(__always)
    var isAtMutex: Bool {
        get { journal.isAtMutex }
        set { journal.isAtMutex = newValue }
    }

    @inline(__always)
    private static func push(_ index: Int, on stack: UnsafeMutablePointer<UInt32>) {
        stack[0] &+= 1
        stack[Int(stack[0])] = UInt32(truncatingIfNeeded: index)
    }

    @inline(__always)
    private static func pop(_ stack: UnsafeMutablePointer<UInt32>) -> Int? {
        guard stack[0] > 0 else { return nil }
        stack[0] &-= 1
        return Int(stack[Int(stack[0]) &+ 1])
    }

    @inline(never)
    private func grow() -> Int? {
        let next = Int(journal.highWater.pointee.load(ordering: .relaxed))
        guard next < Journal.capacity else { return nil }
        journal.highWater.pointee.store(UInt64(next + 1), ordering: .releasing)
        return next
    }

    /// Writes down that the counts of the ranges are about to be taken; waits out a freeze first.
    @inline(__always)
    func begin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
        ranges.count > 1 ? try beginList(ranges) : try begin(ranges[0])
    }

    /// The same of one range.
    @inline(__always)
    func begin(_ range: PageRange) throws(PinRefusal) -> Pin {
        guard range.upper <= pages.rawValue else { throw PinRefusal.outside(range, pages) }
        return try begin(range, Journal.pack(range), list: Pin.single)
    }

    @inline(never)
    private func beginList(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
        guard let list = Self.pop(freeLists) else { throw .tooManyPins(ranges[0].start) }
        do throws(PinRefusal) {
            let hull = try Journal.write(ranges, to: journal.list(list), within: pages)
            let word = Journal.reference(to: list, count: ranges.count)
            return try begin(hull, word, list: list)
        } catch {
            Self.push(list, on: freeLists)
            throw error
        }
    }

    @inline(__always)
    private func begin(
        _ hull: PageRange, _ word: UInt64, list: Int
    ) throws(PinRefusal) -> Pin {
        guard let index = Self.pop(free) ?? grow() else { throw .tooManyPins(hull.start) }
        let entry = journal.entry(index)
        let ticket = (entry.state.pointee.load(ordering: .relaxed) & ~3) &+ 4
        // Releases the end of the pin that the entry stood for before: `epoch` reads entries of living devices.
        entry.range.pointee.store(word, ordering: .releasing)
        entry.state.pointee.store(ticket | Journal.State.intent.rawValue, ordering: .releasing)
        if coordination.isFrozen { waitForThaw(entry.state, from: .intent, backTo: .free) }
        return Pin(range: hull, device: journal.device, entry: index, ticket: ticket, list: list)
    }

    /// Calls `body` with each range of the pin, which is not ended yet, until it returns false; returns whether it never
    /// did.
    @inline(__always)
    func forEachRange(of pin: Pin, _ body: (PageRange) -> Bool) -> Bool {
        if pin.list == Pin.single { return body(pin.range) }
        return journal.forEachRange(
            journal.entry(pin.entry).range.pointee.load(ordering: .relaxed), body)
    }

    /// All counts are in place.
    @inline(__always)
    func hold(_ pin: Pin) {
        journal.entry(pin.entry).state.pointee.store(
            pin.ticket | Journal.State.held.rawValue, ordering: .releasing)
    }

    /// Writes down that the counts are about to be given back; waits out a freeze first. Traps on a token that is not
    /// held.
    @inline(__always)
    func beginRelease(_ pin: Pin) {
        let state = journal.entry(pin.entry).state
        let held = pin.ticket | Journal.State.held.rawValue
        precondition(
            pin.device == journal.device && state.pointee.load(ordering: .relaxed) == held,
            "unpin of a pin that \(journal.device) does not hold")
        state.pointee.store(pin.ticket | Journal.State.releasing.rawValue, ordering: .releasing)
        if coordination.isFrozen { waitForThaw(state, from: .releasing, backTo: .held) }
    }

    /// Goes back to where it was for as long as there is a freeze. It says that it waits until it has come past that:
    /// no other freeze begins before then.
    @inline(never)
    private func waitForThaw(
        _ word: UnsafeMutablePointer<Atomic<UInt64>>, from moving: Journal.State,
        backTo still: Journal.State
    ) {
        let ticket = word.pointee.load(ordering: .relaxed) & ~3
        journal.isWaiting = true
        repeat {
            word.pointee.store(ticket | still.rawValue, ordering: .releasing)
            coordination.waitForThaw()
            word.pointee.store(ticket | moving.rawValue, ordering: .releasing)
        } while coordination.isFrozen
        journal.isWaiting = false
    }

    /// None of the pin's counts is left.
    @inline(__always)
    func end(_ pin: Pin) {
        journal.entry(pin.entry).state.pointee.store(
            pin.ticket | Journal.State.free.rawValue, ordering: .releasing)
        Self.push(pin.entry, on: free)
        if pin.list != Pin.single { Self.push(pin.list, on: freeLists) }
    }
}
