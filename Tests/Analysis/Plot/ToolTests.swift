import DmaLinux
import Glibc
import Testing

/// Another program gets its input whole, and gives its output whole.
@Suite struct ToolTests {
    /// More than a pipe holds, both ways.
    @Test func streamsAreWhole() throws {
        let input = (0..<1 << 20).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let outcome = try Tool.run(["cat"], input: input, isInterrupted: { false })
        #expect(outcome.output == input)
        #expect(outcome.end == .exited(0) && outcome.errors.isEmpty && !outcome.wasStopped)
    }

    @Test func errorsAndStatusAreTold() throws {
        let outcome = try Tool.run(
            ["sh"], input: Array("echo out; echo oops >&2; exit 3".utf8), isInterrupted: { false })
        #expect(outcome.end == .exited(3))
        #expect(String(decoding: outcome.output, as: UTF8.self) == "out\n")
        #expect(String(decoding: outcome.errors, as: UTF8.self) == "oops\n")
    }

    @Test func anInterruptionKillsIt() throws {
        var asked = 0
        let outcome = try Tool.run(["sleep", "1000"], input: []) {
            asked += 1
            return asked == 2
        }
        #expect(outcome.end == .signalled(SIGKILL) && outcome.wasStopped)
    }

    @Test func aMissingProgramIsAnError() {
        #expect {
            try Tool.run(["no-such-program"], input: [], isInterrupted: { false })
        } throws: { error in
            (error as? SystemError)?.code == ENOENT
        }
    }
}
