import DmaLinux

/// What a control group says of the memory that it bounds.
struct GroupMemory {
    let limitPath: String
    private let usagePath: String
    private let statisticsPath: String
    private let cacheCounters: [String]

    init(of group: ControlGroup) {
        statisticsPath = group.directory + "/memory.stat"
        switch group.version {
        case .two:
            // Documentation/admin-guide/cgroup-v2.rst, "Memory Interface Files".
            limitPath = group.directory + "/memory.max"
            usagePath = group.directory + "/memory.current"
            cacheCounters = ["active_file", "inactive_file"]
        case .one:
            // Documentation/admin-guide/cgroup-v1/memory.rst.
            limitPath = group.directory + "/memory.limit_in_bytes"
            usagePath = group.directory + "/memory.usage_in_bytes"
            cacheCounters = ["total_active_file", "total_inactive_file"]
        }
    }

    /// Bytes left below the limit, the page cache counted as free; nil where no limit is stated.
    func room(_ files: KernelFiles) -> UInt64? {
        guard let limit = files.number(limitPath), let usage = files.number(usagePath) else {
            return nil
        }
        let cache = cacheCounters.reduce(UInt64(0)) {
            $0 &+ (files.number(after: $1, in: statisticsPath) ?? 0)
        }
        let kept = usage > cache ? usage - cache : 0
        return limit > kept ? limit - kept : 0
    }
}
