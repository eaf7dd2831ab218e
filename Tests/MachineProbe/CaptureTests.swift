import DmaLinux
import DmaReport
import Glibc
import Testing

@testable import MachineProbe

@Suite struct CaptureTests {
    @Test func capturesAgreeWhateverTheRevision() {
        let first = Environment.capture(revision: "abc")
        let second = Environment.capture(revision: "abc")
        #expect(first.stable == second.stable)
        #expect(first.hash == second.hash)
        // Two versions of the program are compared on one machine.
        #expect(first.hash == Environment.capture(revision: "def").hash)
        #expect(member("revision", first.json) == .string("abc"))
    }

    @Test func nothingTellsWhoseMachineItIs() throws {
        let text = Environment.capture(revision: "unknown").json.pretty
        var buffer = [CChar](repeating: 0, count: 256)
        #expect(gethostname(&buffer, buffer.count) == 0)
        let host = buffer.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        let words = text.split { !$0.isLetter && !$0.isNumber && !"-._".contains($0) }
        #expect(!words.contains { $0 == host })
        let commandLine = try #require(readSmallFile("/proc/cmdline"))
        // Only what is an assignment: a flag such as `quiet` may well be a word elsewhere.
        for option in commandLine.split(whereSeparator: \.isWhitespace) where option.contains("=") {
            #expect(!text.contains(option), "\(option)")
        }
    }

    @Test func everyPartIsThere() {
        let environment = Environment.capture(revision: "unknown")
        #expect(
            names(environment.stable) == [
                "kernel", "cpu", "caches", "mitigations", "clocksource", "numa_nodes",
                "transparent_hugepage", "hypervisor", "affinity", "build",
            ])
        #expect(
            names(environment.volatile) == [
                "load_average", "numa_nodes", "memory_kib", "hugepages", "hugepages_free",
                "mitigations_of_guests", "kvm", "sysctl", "memlock_bytes",
            ])
        var kernel = utsname()
        #expect(uname(&kernel) == 0)
        let release = withUnsafeBytes(of: &kernel.release) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        #expect(member("release", member("kernel", environment.stable)) == .string(release))
        let memory = member("memory_kib", environment.volatile)
        guard case .number(let total)? = member("MemTotal", memory) else {
            Issue.record("no MemTotal")
            return
        }
        #expect(UInt64(total) ?? 0 > 0)
    }

    @Test func whatIsNotThereIsMissing() {
        #expect(Probe(.machine).value("/no such file") == .string("n/a"))
    }

    private func names(_ json: JSON) -> [String] {
        guard case .object(let members) = json else { return [] }
        return members.map(\.name)
    }

    private func member(_ name: String, _ json: JSON?) -> JSON? {
        guard case .object(let members)? = json else { return nil }
        return members.first { $0.name == name }?.value
    }
}
