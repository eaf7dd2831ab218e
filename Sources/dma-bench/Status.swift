import DmaLinux
import DmaReport
import Glibc

/// What the program tells whoever started it. Documented in the manual page; scripts rely on it.
enum Status: Int32 {
    case ok = 0
    /// `compare --fail-on` found one.
    case regression = 3
    /// A strategy that claims safety wrote a private page.
    case safetyViolation = 4
    /// The command line makes no sense.
    case usage = 64
    /// The machine lacks something.
    case unavailable = 69
    case internalError = 70
    case inputOutput = 74
    case interrupted = 130

    /// The name of the status in `--errors json`, one word.
    var kind: String {
        switch self {
        case .ok: "ok"
        case .regression: "regression"
        case .safetyViolation: "safety"
        case .usage: "usage"
        case .unavailable: "unavailable"
        case .internalError: "internal"
        case .inputOutput: "io"
        case .interrupted: "interrupted"
        }
    }

    /// Says what went wrong, in one line of the form asked for, and ends the process.
    static func exit(_ failure: Failure?) -> Never {
        if let failure, !failure.text.isEmpty { say(ErrorFormat.stated.line(failure)) }
        Glibc.exit(failure?.status.rawValue ?? Status.ok.rawValue)
    }

    /// Text on standard output, for whoever asked for it. A reader that has seen enough is told nothing.
    static func print(_ text: String) throws(Failure) {
        do throws(OutputError) {
            try StandardOutput.write(text)
        } catch {
            if case .readerGone = error { throw Failure(.inputOutput, "") }
            throw Failure(.inputOutput, error.description)
        }
    }

    /// A line on standard error.
    static func say(_ line: String) {
        var rest = Array((line + "\n").utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { bytes in
                uninterrupted { write(STDERR_FILENO, bytes.baseAddress, bytes.count) }
            }
            // Where standard error is closed there is nobody to tell.
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }
}

/// Why the program ends early.
struct Failure: Error {
    let status: Status
    let text: String

    init(_ status: Status, _ text: String) {
        self.status = status
        self.text = text
    }
}
