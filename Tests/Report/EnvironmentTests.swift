import Glibc
import Linux
import MadeUpMachine
import Testing

@testable import Report

@Suite struct EnvironmentTests {
    @Test func hashIsFNV1a() {
        // RFC 9923, appendix: test vectors.
        #expect(fnv1a("") == 0xcbf2_9ce4_8422_2325)
        #expect(fnv1a("a") == 0xaf63_dc4c_8601_ec8c)
        #expect(fnv1a("foobar") == 0x8594_4171_f739_67e8)
        let environment = Environment(revision: "r", stable: .string("x"), volatile: .null)
        #expect(environment.hash == String(fnv1a("\"x\""), radix: 16))
        #expect(environment.hash.count == 16)
    }

    @Test func capturesAgreeWhateverTheRevision() {
        let first = Environment.capture(revision: "abc")
        let second = Environment.capture(revision: "abc")
        #expect(first.stable == second.stable)
        #expect(first.hash == second.hash)
        // Two versions of the program are compared on one machine.
        #expect(first.hash == Environment.capture(revision: "def").hash)
        #expect(member("revision", first.json) == .string("abc"))
    }

    @Test func hashIgnoresTheVolatilePart() {
        let one = Environment(revision: "r", stable: .null, volatile: .string("load 1"))
        let other = Environment(revision: "r", stable: .null, volatile: .string("load 2"))
        #expect(one.hash == other.hash)
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

    @Test func fileIsReplacedInOneStep() throws {
        let directory = ScratchDirectory()
        let path = directory.path + "/rows.csv.env.json"
        let environment = Environment.capture(revision: "unknown")
        try environment.write(to: path)
        try environment.write(to: path)
        #expect(readSmallFile(path) == environment.json.pretty)
        #expect(listDirectory(directory.path) == ["rows.csv.env.json"])
    }

    @Test func failedWriteLeavesNothing() throws {
        let directory = ScratchDirectory()
        let occupied = directory.path + "/occupied"
        #expect(mkdir(occupied, 0o755) == 0)
        defer { rmdir(occupied) }
        #expect(throws: OutputError.self) {
            try Environment(revision: "r", stable: .null, volatile: .null).write(to: occupied)
        }
        #expect(listDirectory(directory.path) == ["occupied"])
    }

    @Test func prettyJSON() {
        let value = JSON.object([
            .init("a", .array([JSON(1), .null])),
            .init("b", .object([])),
            .init("c\"", .bool(true)),
        ])
        #expect(value.compact == #"{"a":[1,null],"b":{},"c\"":true}"#)
        #expect(
            value.pretty == """
                {
                  "a": [
                    1,
                    null
                  ],
                  "b": {},
                  "c\\"": true
                }

                """)
    }

    @Test func smallFiles() {
        #expect(readSmallFile("/proc/no such file") == nil)
        #expect(readSmallFile("/proc") == nil)
        #expect(readSmallFile("/dev/zero", limit: 10)?.utf8.count == 10)
        #expect(listDirectory("/no such directory") == [])
        #expect(Probe(.machine).value("/no such file") == .string("n/a"))
    }

    @Test func theClocksStepIsBesideTheHash() {
        var environment = Environment.capture(revision: "r")
        #expect(member("clock_step_ns", environment.json) == .string("n/a"))
        let hash = environment.hash
        environment.clockStepNanoseconds = 10.0384
        #expect(member("clock_step_ns", environment.json) == .number("10.04"))
        #expect(environment.hash == hash)
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
