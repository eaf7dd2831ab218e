import CLinux
import Glibc

/// What the kernel says a thread got and did not get, since the thread began.
///
/// It counts what it decides itself: time that a hypervisor, firmware or an interrupt's handler takes is in none of
/// these, and belongs to whoever ran at the time.
public struct ThreadCounters: BitwiseCopyable, Sendable {
    /// On a processor (CLOCK_THREAD_CPUTIME_ID: the first number of /proc/thread-self/schedstat, but up to date, where
    /// the file lags by up to a tick).
    public var runNanoseconds: UInt64 = 0
    /// Able to run, and waiting for a processor (schedstat, second number; Documentation/scheduler/sched-stats.rst).
    public var waitNanoseconds: UInt64 = 0
    /// Times that it was taken off a processor while it could have gone on (getrusage(2), RUSAGE_THREAD, ru_nivcsw).
    public var involuntarySwitches: UInt64 = 0
    /// Pages that it touched for the first time, with no input or output (ru_minflt).
    public var minorFaults: UInt64 = 0

    public init() {}

    /// Whether the kernel tells how long threads wait: /proc is there, and CONFIG_SCHED_INFO. Where it does not,
    /// `waitNanoseconds` is zero.
    public static var isAvailable: Bool { waiting(.machine) != nil }

    /// The counters of the calling thread, in some 5 us; what the kernel does not tell is zero.
    public static func ofThisThread() -> ThreadCounters { ofThisThread(.machine) }

    static func ofThisThread(_ files: KernelFiles) -> ThreadCounters {
        var counters = ThreadCounters()
        counters.waitNanoseconds = waiting(files) ?? 0
        _ = clinux_thread_usage(&counters.involuntarySwitches, &counters.minorFaults)
        var time = timespec()
        if clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0 {
            counters.runNanoseconds = UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
        }
        return counters
    }

    /// Nil where there is no such file, or it counts nothing: a thread that reads it has run at least once, which is
    /// its third number (fs/proc/base.c, proc_pid_schedstat).
    static func waiting(_ files: KernelFiles) -> UInt64? {
        let words = files.text("/proc/thread-self/schedstat", limit: 128)?
            .split(whereSeparator: \.isWhitespace)
        guard let words, words.count >= 3, let slices = UInt64(words[2]), slices > 0 else {
            return nil
        }
        return UInt64(words[1])
    }

    /// What has been counted since `earlier`, of the same thread.
    public func since(_ earlier: ThreadCounters) -> ThreadCounters {
        // A file that could be read then and cannot be now makes no giant of a zero.
        func difference(_ counter: KeyPath<ThreadCounters, UInt64>) -> UInt64 {
            let (now, then) = (self[keyPath: counter], earlier[keyPath: counter])
            return now > then ? now - then : 0
        }
        var counters = ThreadCounters()
        counters.runNanoseconds = difference(\.runNanoseconds)
        counters.waitNanoseconds = difference(\.waitNanoseconds)
        counters.involuntarySwitches = difference(\.involuntarySwitches)
        counters.minorFaults = difference(\.minorFaults)
        return counters
    }

    /// Takes in what was counted for another thread, or at another time.
    public mutating func add(_ other: ThreadCounters) {
        runNanoseconds &+= other.runNanoseconds
        waitNanoseconds &+= other.waitNanoseconds
        involuntarySwitches &+= other.involuntarySwitches
        minorFaults &+= other.minorFaults
    }
}
