/// A control group that bounds this process's memory (cgroups(7)).
struct ControlGroup {
    let limitPath: String
    private let usagePath: String
    private let statisticsPath: String
    private let cacheCounters: [String]

    /// The groups of /proc/self/cgroup and their ancestors, of version 2 and of version 1.
    ///
    /// In a container that file may give the host's path while the mount shows the container's group as its root:
    /// a group whose directory is not there has no room to state, and the root is always among the answers.
    static func ofThisProcess(_ files: KernelFiles) -> [ControlGroup] {
        var groups: [ControlGroup] = []
        for line in files.lines("/proc/self/cgroup") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let names = fields[2].split(separator: "/")
            for depth in 0...names.count {
                let path = names.prefix(depth).map { "/" + $0 }.joined()
                if fields[1].isEmpty {
                    groups.append(ControlGroup(version2: path))
                } else if fields[1].split(separator: ",").contains("memory") {
                    groups.append(ControlGroup(version1: path))
                }
            }
        }
        return groups
    }

    /// Documentation/admin-guide/cgroup-v2.rst, "Memory Interface Files".
    private init(version2 path: String) {
        let directory = "/sys/fs/cgroup" + path
        limitPath = directory + "/memory.max"
        usagePath = directory + "/memory.current"
        statisticsPath = directory + "/memory.stat"
        cacheCounters = ["active_file", "inactive_file"]
    }

    /// Documentation/admin-guide/cgroup-v1/memory.rst.
    private init(version1 path: String) {
        let directory = "/sys/fs/cgroup/memory" + path
        limitPath = directory + "/memory.limit_in_bytes"
        usagePath = directory + "/memory.usage_in_bytes"
        statisticsPath = directory + "/memory.stat"
        cacheCounters = ["total_active_file", "total_inactive_file"]
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
