/// What a CPU quota takes: a container's, or that of a service (CFS bandwidth control,
/// Documentation/scheduler/sched-bwc.rst).
public enum QuotaThrottling {
    /// Nanoseconds for which this process's control group, or one above it, has been kept from running by its CPU quota
    /// so far; nil where no group tells.
    ///
    /// The kernel adds up the processors that were kept, so that it may grow faster than time goes, and counts all that
    /// is in the group: more than before says that the quota was used up meanwhile, not who waited for how long.
    public static func throttledNanoseconds() -> UInt64? { throttledNanoseconds(.machine) }

    static func throttledNanoseconds(_ files: KernelFiles) -> UInt64? {
        var total: UInt64?
        for group in ControlGroup.ofThisProcess(under: "cpu", files) {
            let path = group.directory + "/cpu.stat"
            let time: UInt64?
            switch group.version {
            case .one:
                time = files.number(after: "throttled_time", in: path)
            case .two:
                // Documentation/admin-guide/cgroup-v2.rst, "CPU Interface Files".
                time = files.number(after: "throttled_usec", in: path)
                    .map { $0.multipliedReportingOverflow(by: 1000) }
                    .flatMap { $0.overflow ? nil : $0.partialValue }
            }
            if let time { total = (total ?? 0) &+ time }
        }
        return total
    }
}
