import DmaLinux
import Glibc
import GuestMemory
import Synchronization
import Testing

@testable import PinLock

/// A strategy of the registry, as an argument of a test.
struct Candidate: Sendable, CustomTestStringConvertible {
    let type: any PinStrategy.Type

    var testDescription: String { type.info.name }

    /// Whether a dead device's pins stand until its recovery; else the kernel has taken them back by then.
    var pinsOutliveTheDevice: Bool { type != OFDLock.self }

    /// Whether a conversion may see a pin that is about to be refused; under a mutex it cannot.
    var refusedPinsShow: Bool { type != MutexList.self && type != IntervalTreeLock.self }

    static let all = Registry.all.map(Candidate.init)
    /// Those that this machine has what they need for.
    static let available = all.filter { $0.type.unavailability(pinning: PageCount(1)) == nil }
    /// Those that promise by their pins.
    static let safe = available.filter {
        $0.type.info.isSafe && $0.type.info.promisesByPins
    }
    /// They promise nothing about pins and conversions that meet; for the rest they are strategies as any.
    static let unsafe = available.filter { !$0.type.info.isSafe }
}

/// Something did not come out as the contract says.
struct Disagreement: Error, CustomStringConvertible {
    let description: String
}

func agree<Value: Equatable>(
    _ got: Value, _ expected: Value, _ what: @autoclosure () -> String
) throws(Disagreement) {
    if got != expected {
        throw Disagreement(description: "\(what()): \(got), the contract says \(expected)")
    }
}

/// Why the pin was refused; nil where it was not, and has been given back.
func refusalOfPin(_ range: PageRange, by pinner: some Pinner) -> PinRefusal? {
    do throws(PinRefusal) {
        pinner.unpin(try pinner.pin(range))
        return nil
    } catch {
        return error
    }
}

extension PinStrategy {
    /// Why the conversion was refused; nil where it was not.
    func refusalOfConversion(
        _ range: PageRange, to state: PageState, policy: ConflictPolicy = .deny,
        hooks: ConversionHooks = ConversionHooks()
    ) -> ConversionRefusal? {
        do throws(ConversionRefusal) {
            _ = try convert(range, to: state, policy: policy, hooks: hooks)
            return nil
        } catch {
            return error
        }
    }

    /// The lowest page of the range that is pinned, where a search can be completed.
    func firstPinned(in range: PageRange) -> GFN? {
        let found = search(range, within: 60_000_000_000)
        precondition(found != .incomplete, "the search of \(range) was not completed")
        return found.page
    }

    /// A conversion that nothing is in the way of.
    @discardableResult
    func convert(
        _ range: PageRange, to state: PageState, policy: ConflictPolicy = .deny
    ) throws(ConversionRefusal) -> ConversionPath {
        try convert(range, to: state, policy: policy, hooks: ConversionHooks())
    }
}

/// A strategy on a new arena.
func make<Strategy: PinStrategy>(
    _ type: Strategy.Type, pages: UInt64, entrySize: EntrySize = .small, sharing: PageRange...
) throws -> Strategy {
    let strategy = Strategy(
        arena: try Arena.create(pages: PageCount(pages), entrySize: entrySize))
    for range in sharing { try strategy.convert(range, to: .shared) }
    return strategy
}

extension Arena {
    /// A view as another process has one: the same memory at another address.
    func viewedAgain() throws -> Arena {
        let copy = FileDescriptor(owning: try checkErrno(dup(mapping.fileDescriptor), "dup"))
        return try Arena(attaching: try SharedMapping(mapping: copy, name: "arena, once more"))
    }
}

func range(_ pages: Range<UInt64>) -> PageRange {
    PageRange(start: pages.lowerBound, count: UInt64(pages.count))
}

func page(_ number: UInt64) -> PageRange { PageRange(start: number, count: 1) }

/// Every range of a guest of `pages` pages.
func everyRange(pages: UInt64) -> [PageRange] {
    (0..<pages).flatMap { start in ((start + 1)...pages).map { range(start..<$0) } }
}

/// Runs all bodies at once, each on a thread of its own, and waits for them.
func inParallel(_ bodies: [@Sendable () -> Void]) throws(SystemError) {
    guard let first = bodies.first else { return }
    let thread = try WorkerThread(name: "pinlock-test", first)
    let others = Result { () throws(SystemError) in try inParallel(Array(bodies.dropFirst())) }
    thread.join()
    try others.get()
}

/// Goes on once `condition` holds: for what another thread is about to do.
func waitUntil(_ condition: () -> Bool) {
    var backoff = Backoff()
    while !condition() { backoff.pause() }
}

/// Where two threads come to be as nearly at once as can be.
final class Rendezvous: Sendable {
    private let arrivals = Atomic(0)

    /// Waits for the other thread to come here too, for the `turn`th time.
    func meet(_ turn: inout Int) {
        turn += 1
        arrivals.add(1, ordering: .acquiringAndReleasing)
        waitUntil { arrivals.load(ordering: .acquiring) >= 2 * turn }
    }
}

/// A sum that several threads add to.
final class Counter: Sendable {
    private let sum = Atomic(0)
    var value: Int { sum.load(ordering: .relaxed) }

    @Sendable func add(_ count: Int) { sum.add(count, ordering: .relaxed) }
}

extension PublishedPins {
    /// What a device publishes, without its look whether it may.
    func put(_ ranges: [PageRange], in slot: Int, of device: DeviceID) {
        let list = lists(of: device) + slot * Self.stride
        if ranges.count == 1 {
            Self.write(ranges[0], to: list)
        } else {
            _ = try! Self.write(ranges.span, to: list, within: PageCount(PageRange.frameLimit))
        }
        Self.publish(Self.header(1, ranges.count), in: slots(of: device)[slot])
    }
}

// What takes lists, for one range.

extension LockedPins {
    func pin(_ range: PageRange, _ journal: JournalWriter) throws(PinRefusal) -> Pin {
        let list: InlineArray<1, PageRange> = [range]
        return try pin(list.span, journal)
    }
}
