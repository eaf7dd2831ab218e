import CLinux
import Glibc
import Synchronization

/// A point of CLOCK_MONOTONIC, in nanoseconds: the same clock for every process of the machine.
public struct Deadline: Sendable, Hashable, Comparable {
    public let nanoseconds: UInt64

    public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    public static var now: Deadline { Deadline(nanoseconds: monotonicNanoseconds()) }
    public static let never = Deadline(nanoseconds: UInt64(Int64.max))

    public static func after(nanoseconds: UInt64) -> Deadline {
        let (sum, overflow) = monotonicNanoseconds().addingReportingOverflow(nanoseconds)
        return overflow || sum > never.nanoseconds ? never : Deadline(nanoseconds: sum)
    }
    public static func after(milliseconds: UInt64) -> Deadline {
        let (product, overflow) = milliseconds.multipliedReportingOverflow(by: 1_000_000)
        return overflow ? never : after(nanoseconds: product)
    }

    public var hasPassed: Bool { monotonicNanoseconds() >= nanoseconds }

    public static func < (one: Deadline, other: Deadline) -> Bool {
        one.nanoseconds < other.nanoseconds
    }
}

/// CLOCK_MONOTONIC in nanoseconds.
public func monotonicNanoseconds() -> UInt64 {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}

/// Sleeps until the deadline or a signal.
public func sleep(until deadline: Deadline) {
    var at = timespec(
        tv_sec: Int(deadline.nanoseconds / 1_000_000_000),
        tv_nsec: Int(deadline.nanoseconds % 1_000_000_000))
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nil)
}

/// A word in shared memory that threads of several processes wait on (futex(2)).
public typealias FutexWord = Atomic<UInt32>

public enum Futex {
    /// Waits while the word is `expected`; returns on a wake, a change, a signal or at the deadline.
    public static func wait(
        _ word: UnsafeMutablePointer<FutexWord>, while expected: UInt32, until deadline: Deadline
    ) {
        _ = clinux_futex_wait(word, expected, deadline.nanoseconds)
    }

    public static func wakeAll(_ word: UnsafeMutablePointer<FutexWord>) {
        _ = clinux_futex_wake(word, Int32.max)
    }

    public static func wakeOne(_ word: UnsafeMutablePointer<FutexWord>) {
        _ = clinux_futex_wake(word, 1)
    }
}

/// Tells the processor that this is a loop that waits.
@inline(__always)
public func pauseProcessor() { clinux_pause() }

/// Gives the processor to whoever waits for it.
public func yieldProcessor() { sched_yield() }

/// Waiting for another processor: pauses, then gives the processor away, so that a spin never
/// starves what it waits for where there are fewer processors than spinners.
public struct Backoff {
    private var turns: UInt32 = 0

    public init() {}

    public mutating func pause() {
        turns &+= 1
        if turns < 64 {
            clinux_pause()
        } else {
            sched_yield()
        }
    }
}

/// A barrier on every thread of every process that called `register` (membarrier(2), GLOBAL_EXPEDITED):
/// the slow side pays for a fence so that the fast side needs none.
public enum ProcessBarrier {
    /// Why there is no barrier on this machine, and what to do; nil where there is one. Registers this process.
    public static var unavailability: String? {
        do throws(SystemError) {
            try register()
            try issue()
            return nil
        } catch {
            return error.description
        }
    }

    public static func register() throws(SystemError) {
        try check(clinux_membarrier_register(), registration, of: .membarrier)
    }

    /// What `register` threw in another process, for whoever relies on it.
    public static func refusal(of process: String, code: Int32) -> SystemError {
        SystemError(
            registration, code: code, on: process,
            advice: KernelFeature.membarrier.advice(for: code))
    }

    private static let registration = "membarrier(REGISTER_GLOBAL_EXPEDITED)"

    public static func issue() throws(SystemError) {
        try check(clinux_membarrier_global(), "membarrier(GLOBAL_EXPEDITED)", of: .membarrier)
    }
}

/// User and system time of all of this process's threads so far, in nanoseconds.
public func processorNanoseconds() -> UInt64 {
    var now = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}
