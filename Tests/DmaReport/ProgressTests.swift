import DmaLinux
import Glibc
import Testing

@testable import DmaReport

@Suite struct ProgressTests {
    @Test func lineFitsItsWidth() {
        func line(_ width: Int, remaining: Double? = 125e9) -> String {
            Progress.line(
                ["cell 3 of 12", "round 4 of 10"], remaining: remaining,
                what: "rangetree 1 GiB", width: width)
        }
        #expect(line(80) == "cell 3 of 12  round 4 of 10  ETA 2 min 05 s  rangetree 1 GiB")
        #expect(line(80, remaining: nil) == "cell 3 of 12  round 4 of 10  rangetree 1 GiB")
        #expect(line(80, remaining: 1.5e9).contains("ETA 2 s "))
        #expect(line(80, remaining: 11_400e9).contains("ETA 3 h 10 min "))
        #expect(line(80, remaining: .infinity).contains("ETA "))
        #expect(line(40) == "cell 3 of 12  round 4 of 10")
        #expect(line(13) == "cell 3 of 12")
        #expect(line(12) == "")
        for width in 0...100 { #expect(line(width).count < max(1, width)) }
    }

    @Test func nothingIsWrittenWithoutATerminal() throws {
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        let reader = FileDescriptor(owning: ends[0])
        let writer = FileDescriptor(owning: ends[1])
        var progress = Progress(on: writer.raw, width: 80, type: "xterm")
        progress.show(["cell 1 of 2"], done: 0, of: 4, what: "none")
        progress.erase()
        #expect(fcntl(reader.raw, F_SETFL, O_NONBLOCK) == 0)
        #expect(written(to: reader) == "")
        #expect(Terminal.width(of: writer.raw) == nil)
    }

    @Test func lineIsErasedOnce() throws {
        let pseudo = try pseudoterminal(width: 30)
        let terminal = pseudo.terminal.raw
        #expect(Terminal.isTerminal(terminal))
        #expect(Terminal.width(of: terminal) == 30)
        var progress = Progress(on: terminal, type: "xterm")
        progress.erase()
        #expect(written(to: pseudo.observer) == "")
        progress.show(["cell 1 of 2", "round 1 of 3"], done: 0, of: 6, what: "none 1 GiB")
        #expect(written(to: pseudo.observer) == "\r\u{1B}[Kcell 1 of 2  round 1 of 3")
        progress.erase()
        progress.erase()
        #expect(written(to: pseudo.observer) == "\r\u{1B}[K")
        progress.show(["cell 2 of 2", "round 1 of 3"], done: 1, of: 6, what: "none 1 GiB")
        #expect(written(to: pseudo.observer).hasPrefix("\r\u{1B}[Kcell 2 of 2"))
    }

    @Test(arguments: ["dumb", "", nil] as [String?])
    func aTerminalThatCannotEraseIsLeftAlone(type: String?) throws {
        let pseudo = try pseudoterminal(width: 80)
        var progress = Progress(on: pseudo.terminal.raw, type: type)
        progress.show(["cell 1 of 2"], done: 0, of: 4, what: "none")
        progress.erase()
        #expect(written(to: pseudo.observer) == "")
    }

    private func written(to file: borrowing FileDescriptor) -> String {
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = max(0, read(file.raw, &bytes, bytes.count))
        return String(decoding: bytes.prefix(count), as: UTF8.self)
    }

    /// A terminal of the given width, and the descriptor that sees what is written to it.
    private func pseudoterminal(width: UInt16) throws -> Pseudoterminal {
        // TIOCSPTLCK and TIOCGPTPEER (ioctl_tty(2)), macros that Swift does not see.
        let (unlock, openPeer): (UInt, UInt) = (0x4004_5431, 0x5441)
        let number = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
        try #require(number >= 0)
        let observer = FileDescriptor(owning: number)
        var unlocked: Int32 = 0
        try #require(ioctl(number, unlock, &unlocked) == 0)
        let terminal = ioctl(number, openPeer, O_RDWR | O_NOCTTY | O_CLOEXEC)
        try #require(terminal >= 0)
        var size = winsize(ws_row: 24, ws_col: width, ws_xpixel: 0, ws_ypixel: 0)
        try #require(ioctl(number, UInt(TIOCSWINSZ), &size) == 0)
        return Pseudoterminal(terminal: FileDescriptor(owning: terminal), observer: observer)
    }
}

private struct Pseudoterminal: ~Copyable {
    let terminal: FileDescriptor
    let observer: FileDescriptor
}
