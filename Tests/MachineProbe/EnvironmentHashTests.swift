import DmaReport
import MadeUpMachine
import Testing

@testable import MachineProbe

/// What is another environment, and what is the same one a minute later.
@Suite struct EnvironmentHashTests {
    private static let cpu = "/sys/devices/system/cpu/"
    private static let node = "/sys/devices/system/node/node0/"
    private static let huge = "/sys/kernel/mm/hugepages/hugepages-2048kB/"
    private static let transparent = "/sys/kernel/mm/transparent_hugepage/"
    private static let source = "/sys/devices/system/clocksource/clocksource0/current_clocksource"

    private static let machine: [String: String] = [
        "/proc/sys/kernel/osrelease": "6.12.1\n",
        "/proc/sys/kernel/version": "#1 SMP PREEMPT_DYNAMIC\n",
        "/proc/cpuinfo": cpuInfo("Xeon 6", microcode: "0x1"),
        "\(cpu)online": "0-1\n",
        "\(cpu)smt/active": "0\n",
        "\(cpu)cpu0/cpufreq/scaling_governor": "performance\n",
        "\(cpu)cpu0/cache/index0/size": "48K\n",
        "\(cpu)vulnerabilities/spectre_v2": "Mitigation: Retpolines\n",
        "\(cpu)vulnerabilities/itlb_multihit": "KVM: Mitigation: VMX disabled\n",
        "\(cpu)vulnerabilities/l1tf": "Mitigation: PTE Inversion\n",
        source: "tsc\n",
        "\(node)cpulist": "0-1\n",
        "\(node)meminfo": "Node 0 MemTotal: 8742684 kB\nNode 0 MemFree: 100 kB\n",
        "/proc/meminfo": "MemTotal: 8742684 kB\nMemFree: 100 kB\nSwapTotal: 0 kB\n",
        "/proc/loadavg": "0.1 0.2 0.3 1/100 4711\n",
        "/proc/self/status": "Name: x\nCpus_allowed_list: 0-1\n",
        "\(huge)nr_hugepages": "0\n",
        "\(huge)free_hugepages": "0\n",
        "\(transparent)enabled": "always [madvise] never\n",
        "\(transparent)shmem_enabled": "always within_size advise [never] deny force\n",
        "/sys/class/dmi/id/sys_vendor": "QEMU\n",
        "/proc/sys/kernel/io_uring_disabled": "0\n",
    ]

    private static func cpuInfo(_ model: String, microcode: String) -> String {
        """
        processor: 0
        vendor_id: GenuineIntel
        model name: \(model)
        microcode: \(microcode)
        cpu MHz: 2600.000
        flags: fpu hypervisor

        """
    }

    private func hash(_ machine: [String: String]) throws -> String {
        let machine = try MadeUpMachine(machine)
        return Environment.capture(revision: "r", files: machine.files).hash
    }

    private static let harmless: [(String, String)] = [
        ("\(node)meminfo", "Node 0 MemTotal: 8742688 kB\nNode 0 MemFree: 90 kB\n"),
        ("/proc/meminfo", "MemTotal: 17485368 kB\nMemFree: 9 kB\nSwapTotal: 4096 kB\n"),
        ("/proc/loadavg", "9.9 9.9 9.9 3/100 4712\n"),
        ("\(huge)nr_hugepages", "512\n"),
        ("\(huge)free_hugepages", "12\n"),
        ("/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", "1\n"),
        ("\(cpu)vulnerabilities/itlb_multihit", "KVM: Mitigation: Split huge pages\n"),
        ("\(cpu)vulnerabilities/l1tf", "Mitigation: PTE Inversion; VMX: cache flushes\n"),
        ("/proc/sys/kernel/io_uring_disabled", "2\n"),
        ("/dev/kvm", ""),
        (
            "/proc/cpuinfo",
            cpuInfo("Xeon 6", microcode: "0x1").replacing("2600.000", with: "800.000")
        ),
    ]

    @Test(arguments: harmless)
    func stillTheSame(path: String, text: String) throws {
        let changed = Self.machine.merging([path: text]) { $1 }
        #expect(try hash(changed) == hash(Self.machine))
        // It is told all the same, but for the frequency.
        guard path != "/proc/cpuinfo" else { return }
        let (before, after) = (try MadeUpMachine(Self.machine), try MadeUpMachine(changed))
        #expect(
            Environment.capture(revision: "r", files: before.files).json
                != Environment.capture(revision: "r", files: after.files).json)
    }

    private static let decisive: [(String, String)] = [
        ("/proc/sys/kernel/osrelease", "6.12.2\n"),
        ("/proc/sys/kernel/version", "#2 SMP PREEMPT_DYNAMIC\n"),
        ("/proc/cpuinfo", cpuInfo("Xeon 7", microcode: "0x1")),
        ("/proc/cpuinfo", cpuInfo("Xeon 6", microcode: "0x2")),
        ("\(cpu)online", "0\n"),
        ("\(cpu)smt/active", "1\n"),
        ("\(cpu)cpu0/cpufreq/scaling_governor", "powersave\n"),
        ("\(cpu)cpu0/cache/index0/size", "32K\n"),
        ("\(cpu)vulnerabilities/spectre_v2", "Vulnerable\n"),
        ("\(cpu)vulnerabilities/new", "Vulnerable\n"),
        (source, "hpet\n"),
        ("\(node)cpulist", "0\n"),
        ("/sys/devices/system/node/node1/cpulist", "\n"),
        ("/proc/self/status", "Name: x\nCpus_allowed_list: 1\n"),
        ("\(transparent)enabled", "[always] madvise never\n"),
        ("\(transparent)shmem_enabled", "always within_size [advise] never deny force\n"),
        ("/sys/class/dmi/id/sys_vendor", "Xen\n"),
    ]

    @Test(arguments: decisive)
    func anotherEnvironment(path: String, text: String) throws {
        #expect(try hash(Self.machine.merging([path: text]) { $1 }) != hash(Self.machine))
    }

    @Test func aMachineThatTellsNothing() throws {
        #expect(try hash([:]) == hash([:]))
        #expect(try hash([:]) != hash(Self.machine))
    }
}
