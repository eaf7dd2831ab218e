import DmaLinux
import Glibc
import Testing

@testable import DmaReport

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

    @Test func hashIgnoresTheVolatilePart() {
        let one = Environment(revision: "r", stable: .null, volatile: .string("load 1"))
        let other = Environment(revision: "r", stable: .null, volatile: .string("load 2"))
        #expect(one.hash == other.hash)
    }

    @Test func fileIsReplacedInOneStep() throws {
        let directory = ScratchDirectory()
        let path = directory.path + "/rows.csv.env.json"
        let environment = Environment(revision: "r", stable: .null, volatile: .null)
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
    }

    @Test func theClocksStepIsBesideTheHash() {
        var environment = Environment(revision: "r", stable: .null, volatile: .null)
        #expect(member("clock_step_ns", environment.json) == .string("n/a"))
        let hash = environment.hash
        environment.clockStepNanoseconds = 10.0384
        #expect(member("clock_step_ns", environment.json) == .number("10.04"))
        #expect(environment.hash == hash)
    }

    private func member(_ name: String, _ json: JSON?) -> JSON? {
        guard case .object(let members)? = json else { return nil }
        return members.first { $0.name == name }?.value
    }
}
