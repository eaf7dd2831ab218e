import DmaLinux
import DmaReport

extension Environment {
    /// Reads the machine; what cannot be read is `n/a`.
    ///
    /// `revision` is the source's git revision, or `unknown`.
    public static func capture(revision: String) -> Environment {
        capture(revision: revision, files: .machine)
    }

    static func capture(revision: String, files: KernelFiles) -> Environment {
        let probe = Probe(files)
        let stable = JSON.object([
            JSON.Member("kernel", probe.kernel),
            JSON.Member("cpu", probe.cpu),
            JSON.Member("caches", probe.caches),
            JSON.Member("mitigations", probe.mitigations),
            JSON.Member("clocksource", probe.clocksource),
            JSON.Member("numa_nodes", probe.nodes([], withCPUs: true)),
            JSON.Member("transparent_hugepage", probe.transparentHugePages),
            JSON.Member("hypervisor", probe.hypervisor),
            JSON.Member("affinity", probe.affinity),
            JSON.Member("build", Probe.build),
        ])
        let volatile = JSON.object([
            JSON.Member("load_average", probe.loadAverage),
            JSON.Member("numa_nodes", probe.nodes(["MemTotal", "MemFree"], withCPUs: false)),
            JSON.Member(
                "memory_kib",
                probe.memory(["MemTotal", "MemAvailable", "MemFree", "SwapTotal", "SwapFree"])),
            JSON.Member("hugepages", probe.hugePages("nr_hugepages")),
            JSON.Member("hugepages_free", probe.hugePages("free_hugepages")),
            JSON.Member("mitigations_of_guests", probe.mitigationsOfGuests),
            JSON.Member("kvm", probe.kvm),
            JSON.Member("sysctl", probe.sysctl),
            JSON.Member("memlock_bytes", Probe.lockedMemory),
        ])
        return Environment(revision: revision, stable: stable, volatile: volatile)
    }
}
