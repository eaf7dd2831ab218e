import DmaLinux

/// How much memory the machine can still give, so that what does not fit is refused before it is touched.
public struct MemoryBudget: Sendable, Equatable {
    /// The least that any limit leaves.
    public let available: ByteCount
    /// The limit that leaves it, for messages.
    public let limit: String

    /// What `backing` can still take, on one NUMA node where `node` is given.
    ///
    /// Huge pages are pools of their own. All else is bounded by MemAvailable of /proc/meminfo, by the
    /// node's memory and by the limits of this process's control groups. A limit that the kernel
    /// does not state is none.
    public static func current(for backing: Backing, node: Int? = nil) -> MemoryBudget {
        current(for: backing, node: node, files: .machine)
    }

    /// Throws where `needed` is more than there is; `purpose` is what for, in the message.
    public func require(_ needed: ByteCount, for purpose: String) throws(MemoryShortage) {
        guard needed <= available else {
            throw MemoryShortage(
                needed: needed, purpose: purpose, available: available, limit: limit)
        }
    }

    static func current(for backing: Backing, node: Int?, files: KernelFiles) -> MemoryBudget {
        let limits =
            backing.isHugetlb
            ? poolLimits(pageBytes: backing.granule, node: node, files)
            : memoryLimits(node: node, files)
        return limits.min { $0.available < $1.available }
            ?? MemoryBudget(available: ByteCount(UInt64.max), limit: "no limit is known")
    }

    private static func poolLimits(
        pageBytes: ByteCount, node: Int?, _ files: KernelFiles
    ) -> [MemoryBudget] {
        let pool = HugePagePool(pageBytes: pageBytes.rawValue, files: files)
        let name = "huge pages of \(pageBytes.rounded)"
        var limits = [MemoryBudget(available: pool?.availableBytes ?? ByteCount(0), limit: name)]
        if let node,
            let free = HugePagePool.freeBytes(
                onNode: node, pageBytes: pageBytes.rawValue, files: files)
        {
            limits.append(MemoryBudget(available: free, limit: "\(name) on node \(node)"))
        }
        return limits
    }

    private static func memoryLimits(node: Int?, _ files: KernelFiles) -> [MemoryBudget] {
        var limits: [MemoryBudget] = []
        if let bytes = files.bytes(after: "MemAvailable:", in: "/proc/meminfo") {
            limits.append(
                MemoryBudget(available: ByteCount(bytes), limit: "MemAvailable of /proc/meminfo"))
        }
        if let node, let bytes = freeBytes(onNode: node, files) {
            limits.append(
                MemoryBudget(available: ByteCount(bytes), limit: "memory of node \(node)"))
        }
        for group in ControlGroup.ofThisProcess(under: "memory", files) {
            let memory = GroupMemory(of: group)
            if let bytes = memory.room(files) {
                limits.append(MemoryBudget(available: ByteCount(bytes), limit: memory.limitPath))
            }
        }
        return limits
    }

    /// The node's free memory and half of its page cache: nodes have no MemAvailable, which counts about
    /// as much of the cache (mm/show_mem.c, si_mem_available). Nil for the only node, whose memory
    /// that describes better: it counts what a balloon would give back.
    private static func freeBytes(onNode node: Int, _ files: KernelFiles) -> UInt64? {
        let directory = "/sys/devices/system/node"
        let path = "\(directory)/node\(node)/meminfo"
        let isOnlyNode = files.number(directory + "/has_memory") == UInt64(node)
        guard !isOnlyNode, let free = files.bytes(after: "MemFree:", in: path) else { return nil }
        let cache = ["Active(file):", "Inactive(file):"]
            .reduce(UInt64(0)) { $0 &+ (files.bytes(after: $1, in: path) ?? 0) }
        return free &+ cache / 2
    }
}

/// More memory was asked for than there is: both amounts and the limit that binds.
public struct MemoryShortage: Error, Equatable, CustomStringConvertible {
    public let needed: ByteCount
    public let purpose: String
    public let available: ByteCount
    public let limit: String

    public var description: String {
        "\(purpose) needs \(needed.rounded), \(available.rounded) are available (\(limit))"
    }
}

extension ByteCount {
    /// In the largest IEC unit of which there is at least one, cut to hundredths: `23.41 GiB`.
    public var rounded: String {
        let units = [(60, "EiB"), (50, "PiB"), (40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")]
        for (shift, unit) in units where rawValue >> shift != 0 {
            let hundredths = (rawValue >> (shift - 10) & 1023) * 100 / 1024
            let digits = hundredths < 10 ? "0\(hundredths)" : "\(hundredths)"
            return "\(rawValue >> shift)\(hundredths == 0 ? "" : "." + digits) \(unit)"
        }
        return "\(rawValue) B"
    }
}
