import DmaLinux
import Glibc
import Testing

extension EndToEnd {
    /// What a person sees on standard error.
    @Suite struct TerminalTests {
        /// The text that a brief run leaves on a terminal of so many columns, with its escapes.
        private func shown(
            columns: UInt16, _ arguments: [String] = [], environment: [String: String] = [:]
        ) throws -> String {
            let terminal = FileDescriptor(
                owning: open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC))
            var (number, unlocked): (Int32, Int32) = (0, 0)
            // TIOCGPTN and TIOCSPTLCK (asm-generic/ioctls.h), macros that Swift does not see.
            try #require(
                ioctl(terminal.raw, 0x8004_5430, &number) == 0
                    && ioctl(terminal.raw, 0x4004_5431, &unlocked) == 0)
            let name = "/dev/pts/\(number)"
            // Open until the text is read: the last one to close it may take the text along.
            let other = FileDescriptor(owning: open(name, O_RDWR | O_NOCTTY | O_CLOEXEC))
            var size = winsize(ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
            try #require(ioctl(other.raw, UInt(TIOCSWINSZ), &size) == 0)
            let outcome = try Run(
                [
                    "--size", "4K", "--strategy", "perpage-swar,none", "--rounds", "1", "--ops",
                    "2", "--no-write",
                ] + arguments,
                environment: environment.merging(["TERM": "xterm"]) { stated, _ in stated },
                through: ["bash", "-c", #"exec "$@" 2>"$0""#, name]
            ).finish()
            #expect(outcome.end == .exited(0))
            var bytes = [UInt8](repeating: 0, count: 1 << 16)
            let count = read(terminal.raw, &bytes, bytes.count)
            return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
        }

        /// The longest line, where a carriage return begins one too.
        private func width(_ text: String) -> Int {
            text.replacing(/\u{1B}\[[0-9;]*[A-Za-z]/, with: "")
                .unicodeScalars.split { $0 == "\r" || $0 == "\n" }.map(\.count).max() ?? 0
        }

        @Test(arguments: [20, 30, 40] as [UInt16])
        func nothingIsWiderThanTheTerminal(columns: UInt16) throws {
            let text = try shown(columns: columns)
            #expect(text.contains("perpage-swar") && width(text) <= columns, "\(text)")
        }

        @Test func aWideTerminalIsUsed() throws {
            #expect(try width(shown(columns: 200)) > 40)
        }

        @Test(arguments: [("1", false), ("", true)])
        func colourCanBeUnwanted(value: String, isColoured: Bool) throws {
            let text = try shown(columns: 80, environment: ["NO_COLOR": value])
            #expect(text.contains(/\u{1B}\[[0-9]+m/) == isColoured)
            let always = try shown(
                columns: 80, ["--color", "always"], environment: ["NO_COLOR": value])
            #expect(always.contains(/\u{1B}\[[0-9]+m/))
        }

        /// Neither a line that is erased again nor colour, unless somebody asks for that; the table is there.
        @Test func aDumbTerminalGetsNoEscapes() throws {
            let text = try shown(columns: 80, environment: ["TERM": "dumb"])
            #expect(text.contains("perpage-swar") && !text.contains("\u{1B}"), "\(text)")
            let always = try shown(
                columns: 80, ["--color", "always"], environment: ["TERM": "dumb"])
            #expect(always.contains(/\u{1B}\[[0-9]+m/))
        }

        @Test func quietShowsNothing() throws {
            #expect(try shown(columns: 80, ["--quiet"]) == "")
        }

        @Test func thatNothingCanBeCaughtIsTold() throws {
            let text = try shown(columns: 80, ["--strategy", "toctou"])
            #expect(text.contains("broken on purpose: toctou; "))
        }
    }
}
