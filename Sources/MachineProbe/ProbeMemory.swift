import DmaLinux
import DmaReport
import Glibc

extension Probe {
    /// Fields of /proc/meminfo, in KiB.
    func memory(_ names: [String]) -> JSON {
        let fields = Self.fields(files.text("/proc/meminfo") ?? "")
        return .object(names.map { JSON.Member($0, kibibytes(fields[$0])) })
    }

    /// The CPUs of each NUMA node, where asked for, and fields of its own meminfo, in KiB.
    func nodes(_ names: [String], withCPUs: Bool) -> JSON {
        let root = "/sys/devices/system/node/"
        let nodes = list(root).filter { Int($0.dropFirst(4)) != nil }
            .sorted { Int($0.dropFirst(4)) ?? 0 < Int($1.dropFirst(4)) ?? 0 }
        guard !nodes.isEmpty else { return JSON.missing }
        return .object(
            nodes.map { node in
                // Each line begins with `Node 0`.
                let lines = (files.text("\(root)\(node)/meminfo") ?? "").split(separator: "\n")
                let fields = Self.fields(
                    lines.map { $0.split(separator: " ").dropFirst(2).joined(separator: " ") }
                        .joined(separator: "\n"))
                let cpus = JSON.Member("cpus", value("\(root)\(node)/cpulist"))
                let memory = names.map { JSON.Member($0, kibibytes(fields[$0])) }
                return JSON.Member(node, .object((withCPUs ? [cpus] : []) + memory))
            })
    }

    private func kibibytes(_ field: String?) -> JSON {
        guard let digits = field?.split(separator: " ").first, let number = UInt64(digits) else {
            return JSON.missing
        }
        return JSON(number)
    }

    var transparentHugePages: JSON {
        let root = "/sys/kernel/mm/transparent_hugepage/"
        return .object(
            ["enabled", "shmem_enabled"].map { JSON.Member($0, chosen(root + $0)) })
    }

    /// The word in brackets of a file that lists the choices.
    private func chosen(_ path: String) -> JSON {
        files.choice(path).map { .string($0) } ?? JSON.missing
    }

    /// The number in one file of each huge page size.
    func hugePages(_ file: String) -> JSON {
        let root = "/sys/kernel/mm/hugepages/"
        let sizes = list(root)
        guard !sizes.isEmpty else { return JSON.missing }
        return .object(sizes.map { JSON.Member($0, value("\(root)\($0)/\(file)")) })
    }

    /// The memory that this process may lock, in bytes (getrlimit(2), RLIMIT_MEMLOCK).
    static var lockedMemory: JSON {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(__RLIMIT_MEMLOCK.rawValue), &limit) == 0 else {
            return JSON.missing
        }
        return limit.rlim_cur == .max ? .string("unlimited") : JSON(limit.rlim_cur)
    }

    /// The processors that this process may use.
    var affinity: JSON {
        Self.fields(files.text("/proc/self/status") ?? "")["Cpus_allowed_list"]
            .map { .string($0) } ?? JSON.missing
    }
}
