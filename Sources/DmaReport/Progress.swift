import DmaLinux
import Glibc

/// One line on a terminal that says how far the run is. Where there is none, or it cannot erase a line, nothing is
/// written.
public struct Progress: Sendable {
    private let descriptor: Int32
    private let isEnabled: Bool
    private let width: Int?
    private let start = monotonicNanoseconds()
    private var isShown = false

    /// `width` in characters; where it is nil the terminal is asked at each line.
    public init(
        on descriptor: Int32 = STDERR_FILENO, width: Int? = nil, type: String? = Terminal.type
    ) {
        self.descriptor = descriptor
        isEnabled = Terminal.takesEscapes(descriptor, type: type)
        self.width = width
    }

    /// Shows where the work is, in several numbers such as `round 2 of 10`, what it does, and by the part that is
    /// `done` of all of it when it will end.
    public mutating func show(_ places: [String], done: Double, of all: Double, what: String) {
        guard isEnabled else { return }
        let elapsed = Double(monotonicNanoseconds() - start)
        let line = Self.line(
            places, remaining: done > 0 ? elapsed / done * (all - done) : nil, what: what,
            width: width ?? Terminal.width(of: descriptor) ?? 80)
        emit(Self.blank + line)
        isShown = true
    }

    /// Takes the line away; to be called before anything else is written to the terminal.
    public mutating func erase() {
        guard isShown else { return }
        emit(Self.blank)
        isShown = false
    }

    /// Carriage return, and erase to the end of the line (ECMA-48, 8.3.41, EL).
    private static let blank = "\r\u{1B}[K"

    private func emit(_ text: String) {
        let bytes = Array(text.utf8)
        // A status line that cannot be shown is no reason to stop.
        _ = write(descriptor, bytes, bytes.count)
    }

    /// The line's text, shorter than `width`: a full line would move the cursor to the next one.
    static func line(
        _ places: [String], remaining: Double?, what: String, width: Int
    ) -> String {
        let rest = remaining.map { "ETA " + clock(nanoseconds: $0) }
        let parts = places + [rest, Text.printable(what)].compactMap(\.self)
        var line = ""
        for part in parts {
            let longer = line.isEmpty ? part : line + "  " + part
            guard longer.count < width else { break }
            line = longer
        }
        return line
    }

    /// `7 s`, `2 min 05 s`, `3 h 10 min`.
    public static func clock(nanoseconds: Double) -> String {
        let seconds = Int(exactly: (nanoseconds / 1e9).rounded(.up)) ?? .max
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        if seconds < 60 { return "\(seconds) s" }
        if seconds < 3600 { return "\(seconds / 60) min \(two(seconds % 60)) s" }
        return "\(seconds / 3600) h \(two(seconds / 60 % 60)) min"
    }
}
