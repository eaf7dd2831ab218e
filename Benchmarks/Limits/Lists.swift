import CLimits
import GuestMemory
import PinLock

/// A pin and an unpin of what a request is made of, beside C that keeps the same: 126 single pages drawn from a GiB, which
/// is the most that Linux sends at once from memory that has been in use, and one aligned GiB.
func listTargets() throws -> [Target] {
    let scattered = try Shape(drawnLists())
    defer { scattered.free() }
    let gib = PageRange(start: 0, count: pagesPerGiB)
    let one = try Shape(Array(repeating: [gib], count: 64))
    defer { one.free() }

    let slots = try scattered.subject(Slots.self)
    let sorted = try scattered.subject(Slots.self) { $0.sorted { $0.start < $1.start } }
    let perPage = try scattered.subject(PerPage.self)
    let tree = try scattered.subject(RangeTree.self)
    let epoch = try scattered.subject(Epoch.self)
    let longLived = try scattered.subject(LongLived.self)
    let cache = try scattered.subject(PinCache.self)
    let mutexList = try scattered.subject(MutexList.self)
    let intervals = try scattered.subject(IntervalTreeLock.self)
    let published = scattered.subject("slots in C", climits_published)
    let unfenced = scattered.subject("epoch in C", climits_unfenced)
    let pages = scattered.subject("perpage in C", climits_counted_pages)
    let lanes = scattered.subject("rangetree in C", climits_counted_lanes)
    let lockedList = scattered.subject("mutexlist in C", climits_locked_list)
    let lockedTree = scattered.subject("intervaltree in C", climits_locked_tree)
    scattered.measure()

    let oneSlots = try one.subject(Slots.self)
    let oneTree = try one.subject(RangeTree.self)
    let oneEpoch = try one.subject(Epoch.self)
    let oneLongLived = try one.subject(LongLived.self)
    let oneMutexList = try one.subject(MutexList.self)
    let oneIntervals = try one.subject(IntervalTreeLock.self)
    let onePublished = one.subject("slots in C", climits_published)
    let oneUnfenced = one.subject("epoch in C", climits_unfenced)
    let oneLanes = one.subject("rangetree in C", climits_counted_lanes)
    let oneRegistered = one.subject("longlived in C", climits_registered)
    let oneLockedList = one.subject("mutexlist in C", climits_locked_list)
    let oneLockedTree = one.subject("intervaltree in C", climits_locked_tree)
    one.measure()

    let toSlots = scattered.ratio(perPage, slots)
    let inC = scattered.ratio(pages, published)
    return [
        Target("126 pages: slots to C", .atMost(1.3), scattered.ratio(slots, published)),
        Target(
            "126 pages: slots, any order to sorted", .atMost(1.2), scattered.ratio(slots, sorted)),
        Target("126 pages: perpage to slots, to that of C", .atLeast(0.7), Ratio(toSlots, to: inC)),
        Target("126 pages: perpage to C", .atMost(1.1), scattered.ratio(perPage, pages)),
        Target("126 pages: rangetree to C", .atMost(1.1), scattered.ratio(tree, lanes)),
        Target("126 pages: epoch to C", .atMost(1.3), scattered.ratio(epoch, unfenced)),
        Target("126 pages: longlived to slots", .atMost(1), scattered.ratio(longLived, slots)),
        Target("126 pages: pincache to slots", .atMost(1), scattered.ratio(cache, slots)),
        Target("126 pages: mutexlist to C", .atMost(2), scattered.ratio(mutexList, lockedList)),
        Target("126 pages: intervaltree to C", .atMost(2), scattered.ratio(intervals, lockedTree)),
        Target("1 GiB: slots to C", .atMost(1.2), one.ratio(oneSlots, onePublished)),
        Target("1 GiB: rangetree to C", .atMost(1.2), one.ratio(oneTree, oneLanes)),
        Target("1 GiB: epoch to C", .atMost(1.2), one.ratio(oneEpoch, oneUnfenced)),
        Target("1 GiB: longlived to C", .atMost(1.2), one.ratio(oneLongLived, oneRegistered)),
        Target("1 GiB: mutexlist to C", .atMost(2), one.ratio(oneMutexList, oneLockedList)),
        Target("1 GiB: intervaltree to C", .atMost(2), one.ratio(oneIntervals, oneLockedTree)),
    ]
}

/// Lists of one length, and whoever pins them.
private final class Shape {
    private let lists: [[PageRange]]
    private let device: OpaquePointer
    private var subjects: [Subject] = []

    init(_ lists: [[PageRange]]) throws {
        guard let device = climits_device_make() else { throw OutOfMemory() }
        self.lists = lists
        self.device = device
        _ = subject("nothing in C", climits_nothing)
        _ = try subject(None.self)
    }

    struct OutOfMemory: Error {}

    func free() { climits_device_free(device) }

    func subject(_ name: String, _ form: @escaping CForm) -> Subject {
        let (lists, device) = (copies(lists), device)
        return add(name) {
            var failures: Int32 = 0
            for list in lists { failures |= form(device, list.asC, list.count) }
            precondition(failures == 0, "a form in C failed")
        }
    }

    /// On a guest of a GiB of its own that has shared all of it.
    func subject<Strategy: PinStrategy>(
        _: Strategy.Type, _ arrange: ([PageRange]) -> [PageRange] = { $0 }
    ) throws -> Subject {
        let strategy = Strategy(
            arena: try Arena.create(pages: PageCount(pagesPerGiB), entrySize: .small))
        let all = PageRange(start: 0, count: pagesPerGiB)
        _ = try strategy.convert(all, to: .shared, policy: .deny, hooks: .init())
        let device = strategy.pinner(for: DeviceID(0))
        // What the guest's driver does when it makes its buffers known, all of them.
        try device.register(Set(lists.joined()).sorted { $0.start < $1.start })
        let lists = copies(lists.map(arrange))
        return add(Strategy.info.name) {
            for list in lists { device.unpin(try! device.pin(list.span)) }
        }
    }

    private func add(_ name: String, _ body: @escaping () -> Void) -> Subject {
        let subject = Subject(name, count: lists.count, body)
        subjects.append(subject)
        return subject
    }

    func measure() {
        interleave(subjects, rounds: 21)
        for subject in subjects { print("  \(lists[0].count) in a list: \(subject.line)") }
    }

    /// Round by round.
    func ratio(_ subject: Subject, _ base: Subject) -> [Double] {
        zip(subject.times, base.times).map(/)
    }
}

private typealias CForm =
    @Sendable @convention(c) (
        OpaquePointer?, UnsafePointer<climits_range>?, Int
    ) -> Int32

/// So many that nobody remembers one from the time before.
private func drawnLists() -> [[PageRange]] {
    var generator = SystemRandomNumberGenerator()
    return (0..<64).map { _ in
        var pages: Set<UInt64> = []
        while pages.count < 126 { pages.insert(.random(in: 0..<pagesPerGiB, using: &generator)) }
        return pages.shuffled(using: &generator).map { PageRange(start: $0, count: 1) }
    }
}

/// The lists, one behind the other in memory of their own, none of which is ever freed.
private func copies(_ lists: [[PageRange]]) -> [UnsafeBufferPointer<PageRange>] {
    let count = lists[0].count
    let memory = UnsafeMutableBufferPointer<PageRange>.allocate(capacity: lists.count * count)
    _ = memory.initialize(fromContentsOf: lists.joined())
    return lists.indices.map {
        UnsafeBufferPointer(rebasing: memory[$0 * count..<($0 + 1) * count])
    }
}

extension UnsafeBufferPointer<PageRange> {
    /// Both are two words, the start before the count.
    fileprivate var asC: UnsafePointer<climits_range> {
        UnsafeRawPointer(baseAddress!).assumingMemoryBound(to: climits_range.self)
    }
}
