import Glibc
import Linux

extension Probe {
    /// Fields of /proc/meminfo, in KiB.
    static func memory(_ names: [String]) -> JSON {
        let fields = fields(readSmallFile("/proc/meminfo") ?? "")
        return .object(names.map { JSON.Member($0, kibibytes(fields[$0])) })
    }

    /// The CPUs of each NUMA node, where asked for, and fields of its own meminfo, in KiB.
    static func nodes(_ names: [String], withCPUs: Bool) -> JSON {
        let root = "/sys/devices/system/node/"
        let nodes = listDirectory(root).filter { Int($0.dropFirst(4)) != nil }
            .sorted { Int($0.dropFirst(4)) ?? 0 < Int($1.dropFirst(4)) ?? 0 }
        guard !nodes.isEmpty else { return missing }
        return .object(
            nodes.map { node in
                // Each line begins with `Node 0`.
                let lines = (readSmallFile("\(root)\(node)/meminfo") ?? "").split(separator: "\n")
                let fields = fields(
                    lines.map { $0.split(separator: " ").dropFirst(2).joined(separator: " ") }
                        .joined(separator: "\n"))
                let cpus = JSON.Member("cpus", value("\(root)\(node)/cpulist"))
                let memory = names.map { JSON.Member($0, kibibytes(fields[$0])) }
                return JSON.Member(node, .object((withCPUs ? [cpus] : []) + memory))
            })
    }

    private static func kibibytes(_ field: String?) -> JSON {
        guard let digits = field?.split(separator: " ").first, let number = UInt64(digits) else {
            return missing
        }
        return JSON(number)
    }

    static var transparentHugePages: JSON {
        let root = "/sys/kernel/mm/transparent_hugepage/"
        return .object(
            ["enabled", "shmem_enabled"].map { JSON.Member($0, chosen(root + $0)) })
    }

    /// The word in brackets of a file that lists the choices.
    private static func chosen(_ path: String) -> JSON {
        let words = (readSmallFile(path) ?? "").split(whereSeparator: \.isWhitespace)
        guard let word = words.first(where: { $0.hasPrefix("[") }) else { return missing }
        return .string(String(word.dropFirst().dropLast()))
    }

    /// The number in one file of each huge page size.
    static func hugePages(_ file: String) -> JSON {
        let root = "/sys/kernel/mm/hugepages/"
        let sizes = listDirectory(root)
        guard !sizes.isEmpty else { return missing }
        return .object(sizes.map { JSON.Member($0, value("\(root)\($0)/\(file)")) })
    }

    /// What the kernel allows this process: memory to lock, CPUs.
    static var process: JSON {
        var limit = rlimit()
        let known = getrlimit(__rlimit_resource_t(__RLIMIT_MEMLOCK.rawValue), &limit) == 0
        let memlock = limit.rlim_cur == .max ? JSON.string("unlimited") : JSON(limit.rlim_cur)
        let status = fields(readSmallFile("/proc/self/status") ?? "")
        return .object([
            JSON.Member("memlock_bytes", known ? memlock : missing),
            JSON.Member("affinity", status["Cpus_allowed_list"].map { .string($0) } ?? missing),
        ])
    }
}
