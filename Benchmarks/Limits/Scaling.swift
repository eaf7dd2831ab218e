import DmaLinux
import GuestMemory
import PinLock
import Synchronization

/// Pins and unpins a second of two devices on one and the same GiB, to those of one.
func scaling<Strategy: PinStrategy>(_: Strategy.Type) throws -> Ratio {
    let strategy = Strategy(
        arena: try Arena.create(pages: PageCount(pagesPerGiB), entrySize: .small))
    let gib = PageRange(start: 0, count: pagesPerGiB)
    _ = try strategy.convert(gib, to: .shared, policy: .deny, hooks: .init())
    return try ratioOfTwoToOne { thread in
        let device = strategy.pinner(for: DeviceID(thread))
        return { for _ in 0..<64 { device.unpin(try! device.pin(gib)) } }
    }
}

/// What two processors do of work that shares nothing: the most that anything can scale here.
func scalingOfWork() throws -> Ratio {
    try ratioOfTwoToOne { thread in
        let value = Value(UInt64(thread) | 1)
        return { for _ in 0..<1024 { value.step() } }
    }
}

private final class Value {
    private var value: UInt64
    init(_ value: UInt64) { self.value = value }
    func step() { value = value &* 6_364_136_223_846_793_005 &+ 1 }
}

/// Rounds of 20 ms: one thread on the last processor, then two on the last two.
private func ratioOfTwoToOne(
    _ make: @escaping @Sendable (_ thread: Int) -> () -> Void
) throws -> Ratio {
    let here = try Processors.allowed()
    try Processors.allow(everywhere)
    defer { try? Processors.allow(here) }
    var (one, two): ([Double], [Double]) = ([], [])
    for _ in 0..<21 {
        one.append(try batches(on: Array(everywhere.suffix(1)), make))
        two.append(try batches(on: Array(everywhere.suffix(2)), make))
    }
    return Ratio(two, to: one)
}

private func batches(
    on processors: [Int], _ make: @escaping @Sendable (Int) -> () -> Void
) throws -> Double {
    let count = Counter()
    let start = Deadline.after(nanoseconds: 2_000_000)
    let end = Deadline.after(nanoseconds: 22_000_000)
    var threads: [JoinableThread] = []
    for (index, processor) in processors.enumerated() {
        threads.append(
            JoinableThread(
                try WorkerThread(name: "scaling") {
                    try? Processors.bind(to: processor)
                    let body = make(index)
                    var done: UInt64 = 0
                    while !start.hasPassed {}
                    while !end.hasPassed {
                        body()
                        done += 1
                    }
                    count.value.wrappingAdd(done, ordering: .relaxed)
                }))
    }
    for thread in threads { thread.join() }
    return Double(count.value.load(ordering: .relaxed))
}

private final class Counter: Sendable {
    let value = Atomic<UInt64>(0)
}
