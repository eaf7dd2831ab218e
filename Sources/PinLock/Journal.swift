import GuestMemory
import Linux
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
        /// Start in the upper half, count less one in the lower: any range within 2^32 frames.
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
    static let annexByteCount = 16
    static let byteCount = annexOffset + capacity * annexByteCount

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
        let words = (base + Self.headerByteCount + index * Self.entryByteCount)
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

    static func unpack(_ word: UInt64) -> PageRange {
        PageRange(start: word >> 32, count: (word & 0xffff_ffff) + 1)
    }

    /// Every entry that is not free, with its index.
    func liveEntries() -> [(index: Int, state: State, range: PageRange)] {
        var found: [(index: Int, state: State, range: PageRange)] = []
        for index in 0..<Int(highWater.pointee.load(ordering: .acquiring)) {
            let entry = entry(index)
            let state = State(rawValue: entry.state.pointee.load(ordering: .acquiring) & 3)!
            guard state != .free else { continue }
            found.append((index, state, Self.unpack(entry.range.pointee.load(ordering: .relaxed))))
        }
        return found
    }

    /// The pins whose counts are all in place, while nobody is inside a pin or an unpin.
    var heldPins: [PageRange] { liveEntries().filter { $0.state == .held }.map(\.range) }

    /// Of a dead device's torn pin nothing is left outside `rest`.
    func shorten(_ index: Int, to rest: PageRange) {
        entry(index).range.pointee.store(Self.pack(rest), ordering: .releasing)
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
    /// See `Journal.lives`.
    let life: UInt64
    /// Entries used and free again: a stack whose depth is the first element.
    private let free: UnsafeMutablePointer<UInt32>

    init(_ journal: Journal, _ coordination: Coordination) {
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
        self.coordination = coordination
        free = .allocate(capacity: Journal.capacity + 1)
        free[0] = 0
        let used = Int(journal.highWater.pointee.load(ordering: .relaxed))
        for index in stride(from: used - 1, through: 0, by: -1) { push(index) }
    }

    deinit { free.deallocate() }

    /// See `Journal.isAtMutex`.
    @inline(__always)
    var isAtMutex: Bool {
        get { journal.isAtMutex }
        set { journal.isAtMutex = newValue }
    }

    @inline(__always)
    private func push(_ index: Int) {
        free[0] += 1
        free[Int(free[0])] = UInt32(index)
    }

    @inline(__always)
    private func pop() -> Int? {
        if free[0] > 0 {
            free[0] -= 1
            return Int(free[Int(free[0]) + 1])
        }
        return grow()
    }

    @inline(never)
    private func grow() -> Int? {
        let next = Int(journal.highWater.pointee.load(ordering: .relaxed))
        guard next < Journal.capacity else { return nil }
        journal.highWater.pointee.store(UInt64(next + 1), ordering: .releasing)
        return next
    }

    /// Writes down that the counts of `range` are about to be taken; waits out a freeze first.
    @inline(__always)
    func begin(_ range: PageRange) throws(PinRefusal) -> Pin {
        guard let index = pop() else { throw .tooManyPins(range.start) }
        let entry = journal.entry(index)
        let ticket = (entry.state.pointee.load(ordering: .relaxed) & ~3) &+ 4
        // Releases the end of the pin that the entry stood for before: `epoch` reads entries of living devices.
        entry.range.pointee.store(Journal.pack(range), ordering: .releasing)
        entry.state.pointee.store(ticket | Journal.State.intent.rawValue, ordering: .releasing)
        if coordination.isFrozen { waitForThaw(entry.state, from: .intent, backTo: .free) }
        return Pin(range: range, device: journal.device, entry: index, ticket: ticket)
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
        push(pin.entry)
    }
}
