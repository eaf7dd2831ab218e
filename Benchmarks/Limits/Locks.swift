import CLimits
import DmaLinux
import GuestMemory
import PinLock

/// A pin and an unpin by each strategy beside the C loop, and beside itself in other places.
func lockTargets() throws -> [Target] {
    let entries = Int(pagesPerGiB)
    let table = try SharedMapping.create(name: "limits-table", byteCount: entries * 16)
    for entry in 0..<entries {
        table.base.storeBytes(of: 1 << 63, toByteOffset: entry * 16, as: UInt64.self)
    }
    let loop = Subject("C loop") { _ = climits_per_page_pair(table.base, entries, 1 << 63) }

    let gib = PageRange(start: 0, count: pagesPerGiB)
    let shifted = PageRange(start: 1, count: pagesPerGiB)
    let perPage = try subject(PerPage.self, gib)
    let aligned = try subject(RangeTree.self, gib)
    let misaligned = try subject(RangeTree.self, shifted)
    let crowded = try subject(RangeTree.self, gib, otherPins: 1000)
    let huge = try subject(RangeTree.self, PageRange(start: 0, count: 512 * pagesPerGiB))
    let byEight = try subject(PerPageSWAR.self, gib)
    let slots = try subject(Slots.self, gib)
    let subjects = [loop, perPage, byEight, aligned, misaligned, crowded, huge, slots]
    interleave(subjects, rounds: 21)
    withExtendedLifetime(table) {}
    return [
        Target("perpage, 1 GiB, to the C loop", .atMost(1.10), perPage, to: loop),
        Target("perpage to rangetree, hot, aligned GiB", .atLeast(60_000), perPage, to: aligned),
        Target("perpage to rangetree, a page off", .atLeast(12_000), perPage, to: misaligned),
        Target("rangetree among 1,000 pins, to alone", .atMost(1.3), crowded, to: aligned),
        Target("rangetree, 512 GiB to 1 GiB", .atMost(5), huge, to: aligned),
        Target("perpage to perpage-swar", .atLeast(7), perPage, to: byEight),
        Target("slots to rangetree, aligned GiB", .atMost(0.6), slots, to: aligned),
        Target("slots: two devices to one, pins/s", .atLeast(1.7), try scaling(Slots.self)),
        Target("two threads to one, plain work", .atLeast(1.7), try scalingOfWork()),
    ]
}

/// Pin and unpin of `range` by a strategy on a guest of its own that has shared it.
private func subject<Strategy: PinStrategy>(
    _: Strategy.Type, _ range: PageRange, otherPins: UInt64 = 0
) throws -> Subject {
    let strategy = Strategy(
        arena: try Arena.create(pages: PageCount(range.upper), entrySize: .small))
    _ = try strategy.convert(
        PageRange(start: 0, count: range.upper), to: .shared, policy: .deny, hooks: .init())
    let device = strategy.pinner(for: DeviceID(0))
    let others = strategy.pinner(for: DeviceID(1))
    for index in 0..<otherPins {
        _ = try others.pin(PageRange(start: index * 262 + 100, count: 1))
    }
    return Subject(Strategy.info.name) { device.unpin(try! device.pin(range)) }
}
