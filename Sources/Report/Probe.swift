import Glibc
import Linux

/// What is read of a machine; memory and virtualisation have files of their own.
enum Probe {
    static let missing = JSON.string("n/a")

    /// The trimmed text of a file of one value.
    static func value(_ path: String) -> JSON {
        guard let text = readSmallFile(path) else { return missing }
        return .string(trimmed(text))
    }

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

    static var kernel: JSON {
        var names = utsname()
        guard uname(&names) == 0 else { return missing }
        return .object([
            JSON.Member("release", string(&names.release)),
            JSON.Member("version", string(&names.version)),
            JSON.Member("architecture", string(&names.machine)),
        ])
    }

    private static func string<Characters>(_ characters: inout Characters) -> JSON {
        withUnsafeBytes(of: &characters) {
            .string(String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self))
        }
    }

    /// The first processor stands for all.
    static let cpuInfo = fields(readSmallFile("/proc/cpuinfo") ?? "")

    static var cpu: JSON {
        let root = "/sys/devices/system/cpu/"
        let names = [
            ("model_name", "model name"), ("vendor", "vendor_id"), ("family", "cpu family"),
            ("model", "model"), ("stepping", "stepping"), ("microcode", "microcode"),
        ]
        return .object(
            names.map { name, field in
                JSON.Member(name, cpuInfo[field].map { .string($0) } ?? missing)
            } + [
                JSON.Member("online", value(root + "online")),
                JSON.Member("count", JSON(sysconf(Int32(_SC_NPROCESSORS_ONLN)))),
                JSON.Member("smt_active", value(root + "smt/active")),
                JSON.Member("governor", value(root + "cpu0/cpufreq/scaling_governor")),
            ])
    }

    static var caches: JSON {
        let root = "/sys/devices/system/cpu/cpu0/cache/"
        let indices = listDirectory(root).filter { $0.hasPrefix("index") }
        guard !indices.isEmpty else { return missing }
        let items = ["level", "type", "size", "coherency_line_size", "shared_cpu_list"]
        return .array(
            indices.map { index in
                .object(items.map { JSON.Member($0, value("\(root)\(index)/\($0)")) })
            })
    }

    static var mitigations: JSON {
        let root = "/sys/devices/system/cpu/vulnerabilities/"
        let names = listDirectory(root)
        guard !names.isEmpty else { return missing }
        return .object(names.map { JSON.Member($0, value(root + $0)) })
    }

    static var clocksource: JSON {
        value("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    }

    static var loadAverage: JSON {
        guard let text = readSmallFile("/proc/loadavg") else { return missing }
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
