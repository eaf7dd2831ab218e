/// A control group that this process is in, or one above it (cgroups(7)).
package struct ControlGroup: Sendable, Equatable {
    package enum Version: Sendable {
        case one
        case two
    }

    package let version: Version
    package let directory: String

    /// The groups of /proc/self/cgroup and their ancestors, of version 2, and those of version 1 that `controller`,
    /// such as `memory`, keeps.
    ///
    /// In a container that file may give the host's path while the mount shows the container's group as its root:
    /// a group whose directory is not there has nothing to state, and the root is always among the answers. Version 2
    /// lies at the top or, beside version 1, in `unified`.
    package static func ofThisProcess(
        under controller: String, _ files: KernelFiles
    ) -> [ControlGroup] {
        let top = "/sys/fs/cgroup"
        var groups: [ControlGroup] = []
        for line in files.lines("/proc/self/cgroup") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let names = fields[2].split(separator: "/")
            for depth in 0...names.count {
                let path = names.prefix(depth).map { "/" + $0 }.joined()
                if fields[1].isEmpty {
                    groups.append(ControlGroup(version: .two, directory: top + path))
                    groups.append(ControlGroup(version: .two, directory: top + "/unified" + path))
                } else if fields[1].split(separator: ",").contains(Substring(controller)) {
                    let directory = "\(top)/\(controller)\(path)"
                    groups.append(ControlGroup(version: .one, directory: directory))
                }
            }
        }
        return groups
    }
}
