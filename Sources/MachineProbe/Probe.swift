import DmaLinux
import DmaReport
import Glibc

/// What is read of a machine; memory and virtualisation have files of their own.
struct Probe {
    let files: KernelFiles
    /// The first processor stands for all.
    let cpuInfo: [String: String]

    init(_ files: KernelFiles) {
        self.files = files
        cpuInfo = Self.fields(files.text("/proc/cpuinfo") ?? "")
    }

    /// The trimmed text of a file of one value.
    func value(_ path: String) -> JSON {
        guard let text = files.text(path) else { return JSON.missing }
        return .string(Self.trimmed(text))
    }

    /// The names in a directory of the machine, sorted.
    func list(_ directory: String) -> [String] { listDirectory(files.root + directory) }

    static func trimmed(_ text: some StringProtocol) -> String {
        guard let first = text.firstIndex(where: { !$0.isWhitespace }),
            let last = text.lastIndex(where: { !$0.isWhitespace })
        else { return "" }
        return String(text[first...last])
    }

    /// The lines `name: value` up to the first empty line.
    static func fields(_ text: String) -> [String: String] {
        var fields: [String: String] = [:]
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.isEmpty { break }
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2 { fields[trimmed(parts[0])] = trimmed(parts[1]) }
        }
        return fields
    }

    var kernel: JSON {
        var names = utsname()
        guard uname(&names) == 0 else { return JSON.missing }
        let architecture = withUnsafeBytes(of: &names.machine) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        return .object([
            JSON.Member("release", value("/proc/sys/kernel/osrelease")),
            JSON.Member("version", value("/proc/sys/kernel/version")),
            JSON.Member("architecture", .string(architecture)),
        ])
    }

    var cpu: JSON {
        let root = "/sys/devices/system/cpu/"
        let names = [
            ("model_name", "model name"), ("vendor", "vendor_id"), ("family", "cpu family"),
            ("model", "model"), ("stepping", "stepping"), ("microcode", "microcode"),
        ]
        return .object(
            names.map { name, field in
                JSON.Member(name, cpuInfo[field].map { .string($0) } ?? JSON.missing)
            } + [
                JSON.Member("online", value(root + "online")),
                JSON.Member("count", onlineCount),
                JSON.Member("smt_active", value(root + "smt/active")),
                JSON.Member("governor", value(root + "cpu0/cpufreq/scaling_governor")),
            ])
    }

    private var onlineCount: JSON {
        files.text("/sys/devices/system/cpu/online").flatMap { Processors.parseList($0) }
            .map { JSON($0.count) } ?? JSON.missing
    }

    var caches: JSON {
        let root = "/sys/devices/system/cpu/cpu0/cache/"
        let indices = list(root).filter { $0.hasPrefix("index") }
        guard !indices.isEmpty else { return JSON.missing }
        let items = ["level", "type", "size", "coherency_line_size", "shared_cpu_list"]
        return .array(
            indices.map { index in
                .object(items.map { JSON.Member($0, value("\(root)\(index)/\($0)")) })
            })
    }

    /// Of two the kernel tells how it protects itself from its own guests: that changes when KVM is loaded or a guest
    /// starts, and no figure depends on it (arch/x86/kernel/cpu/bugs.c: itlb_multihit_show_state, l1tf_show_state).
    private static let aboutGuests = ["itlb_multihit", "l1tf"]

    var mitigations: JSON { mitigations { !Self.aboutGuests.contains($0) } }
    var mitigationsOfGuests: JSON { mitigations { Self.aboutGuests.contains($0) } }

    private func mitigations(where isWanted: (String) -> Bool) -> JSON {
        let root = "/sys/devices/system/cpu/vulnerabilities/"
        let names = list(root).filter(isWanted)
        guard !names.isEmpty else { return JSON.missing }
        return .object(names.map { JSON.Member($0, value(root + $0)) })
    }

    var clocksource: JSON {
        value("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    }

    var loadAverage: JSON {
        guard let text = files.text("/proc/loadavg") else { return JSON.missing }
        return .string(text.split(separator: " ").prefix(3).joined(separator: " "))
    }

    static var build: JSON {
        #if DEBUG
            let mode = "debug"
        #else
            let mode = "release"
        #endif
        #if compiler(>=6.4)
            let compiler = "Swift 6.4 or later"
        #elseif compiler(>=6.3)
            let compiler = "Swift 6.3"
        #else
            let compiler = "Swift 6.2"
        #endif
        return .object([
            JSON.Member("mode", .string(mode)), JSON.Member("compiler", .string(compiler)),
        ])
    }
}
