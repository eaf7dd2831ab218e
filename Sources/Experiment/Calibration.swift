import DmaLinux
import Synchronization

/// Whether two processors do the work of two: a virtual machine's may share a core.
public struct Calibration: Sendable {
    /// Work of two pinned threads on private data, relative to the better of one alone.
    public let speedUp: Double

    /// What two real cores reach at least.
    public static let threshold = 1.7
    private static let nanoseconds: UInt64 = 15_000_000

    public var isNoisy: Bool { speedUp < Self.threshold }

    /// Lets `first` and `second` work alone and then together, 15 ms each; one processor is its own answer.
    public static func measure(_ first: Int, _ second: Int) throws(SystemError) -> Calibration {
        guard first != second else { return Calibration(speedUp: 1) }
        let alone = max(try work(on: [first]), try work(on: [second]))
        let together = try work(on: [first, second])
        return Calibration(speedUp: Double(together) / Double(max(alone, 1)))
    }

    /// The iterations that a thread on each of the processors does in a fixed time, summed.
    private static func work(on processors: [Int]) throws(SystemError) -> UInt64 {
        let sum = Shared()
        let start = Deadline.after(nanoseconds: 1_000_000)
        let end = Deadline(nanoseconds: start.nanoseconds + nanoseconds)
        var threads: [JoinableThread] = []
        for processor in processors {
            threads.append(
                JoinableThread(
                    try WorkerThread(name: "calibrate") {
                        guard (try? Processors.bind(to: processor)) != nil else { return }
                        while !start.hasPassed {}
                        var count: UInt64 = 0
                        var value: UInt64 = UInt64(processor) | 1
                        while !end.hasPassed {
                            for _ in 0..<256 { value = value &* 6_364_136_223_846_793_005 &+ 1 }
                            count += 1
                        }
                        // The value is used, so that the work is not optimised away.
                        sum.value.wrappingAdd(value == 0 ? 0 : count, ordering: .relaxed)
                    }))
        }
        for thread in threads { thread.join() }
        return sum.value.load(ordering: .relaxed)
    }

    private final class Shared: Sendable {
        let value = Atomic<UInt64>(0)
    }
}
