import CLinux
import Glibc

/// Which processors the calling thread runs on.
public enum Processors {
    /// The numbers the calling thread may use, ascending.
    public static func allowed() throws(SystemError) -> [Int] {
        var numbers = [Int32](repeating: 0, count: Int(CLINUX_CPU_MAX))
        let count = try check(clinux_allowed_cpus(&numbers, CLINUX_CPU_MAX), "sched_getaffinity")
        return numbers.prefix(Int(count)).map(Int.init)
    }

    /// Lets the calling thread run on these processors and no others, and reads back that the kernel agreed.
    public static func allow(_ processors: [Int]) throws(SystemError) {
        let wanted = processors.sorted()
        let list = wanted.map(String.init).joined(separator: ",")
        try check(
            clinux_set_allowed_cpus(wanted.map { Int32(clamping: $0) }, Int32(wanted.count)),
            "sched_setaffinity", on: "CPU \(list)", advice: "see /sys/devices/system/cpu/online")
        let now = try allowed()
        guard now == wanted else {
            throw SystemError(
                "sched_getaffinity", code: EINVAL, on: "asked for CPU \(list), got \(now)")
        }
    }

    /// The number of the processor that the calling thread runs on: right at the moment of the call (getcpu(2)).
    public static var current: Int { Int(clinux_current_cpu()) }

    /// Binds the calling thread to one processor.
    public static func bind(to processor: Int) throws(SystemError) { try allow([processor]) }

    /// Lets a sleep end within a microsecond of its time, for the calling thread.
    public static func sharpenTimers() {
        _ = clinux_set_timer_slack(1)
    }
}
