/// The machine and the build that figures come from.
///
/// An allow-list: never the kernel command line, never the host's name, nothing that tells whose
/// machine it is.
public struct Environment: Sendable {
    /// What the program was built from; no part of `hash`, so that two versions on one machine can be compared.
    public let revision: String
    /// What holds from one run to the next.
    public let stable: JSON
    /// What changes by itself: load, free memory.
    public let volatile: JSON

    /// Reads the machine; what cannot be read is `n/a`.
    ///
    /// `revision` is the source's git revision, or `unknown`.
    public static func capture(revision: String) -> Environment {
        let stable = JSON.object([
            JSON.Member("kernel", Probe.kernel),
            JSON.Member("cpu", Probe.cpu),
            JSON.Member("caches", Probe.caches),
            JSON.Member("mitigations", Probe.mitigations),
            JSON.Member("clocksource", Probe.clocksource),
            JSON.Member("numa_nodes", Probe.nodes(["MemTotal"], withCPUs: true)),
            JSON.Member("memory_kib", Probe.memory(["MemTotal", "SwapTotal"])),
            JSON.Member("transparent_hugepage", Probe.transparentHugePages),
            JSON.Member("hugepages", Probe.hugePages("nr_hugepages")),
            JSON.Member("hypervisor", Probe.hypervisor),
            JSON.Member("kvm", Probe.kvm),
            JSON.Member("sysctl", Probe.sysctl),
            JSON.Member("process", Probe.process),
            JSON.Member("build", Probe.build),
        ])
        let volatile = JSON.object([
            JSON.Member("load_average", Probe.loadAverage),
            JSON.Member("numa_nodes", Probe.nodes(["MemFree"], withCPUs: false)),
            JSON.Member("memory_kib", Probe.memory(["MemAvailable", "MemFree", "SwapFree"])),
            JSON.Member("hugepages_free", Probe.hugePages("free_hugepages")),
        ])
        return Environment(revision: revision, stable: stable, volatile: volatile)
    }

    /// Differs where the stable part does: that of its compact JSON.
    public var hash: String { Text.hash(stable.compact) }

    /// Both parts and the hash, as `dma-bench env` prints them.
    public var json: JSON {
        .object([
            JSON.Member("env", .string(hash)), JSON.Member("revision", .string(revision)),
            JSON.Member("stable", stable), JSON.Member("volatile", volatile),
        ])
    }

    /// Replaces `path` by the pretty JSON in one step: a reader sees the old file or the new one.
    public func write(to path: String) throws(OutputError) {
        try OutputFile.replace(path, with: Array(json.pretty.utf8))
    }
}
