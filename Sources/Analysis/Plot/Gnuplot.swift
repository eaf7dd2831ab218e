import DmaLinux
import DmaReport
import Glibc

/// Draws figures by running gnuplot(1), which reads its commands from standard input: no shell, no file of its own.
public enum Gnuplot {
    public enum Failure: Error, CustomStringConvertible {
        case missing
        /// With what it said.
        case failed(String)
        case interrupted
        case output(OutputError)

        public var description: String {
            switch self {
            case .missing: "gnuplot is not installed; run: sudo apt-get install gnuplot-nox"
            case .failed(let reason): "gnuplot failed: \(reason)"
            case .interrupted: "interrupted"
            case .output(let error): error.description
            }
        }
    }

    public enum Format: String, CaseIterable, Sendable {
        case svg
        case png
    }

    /// The picture as SVG 1.1 without scripts.
    public static func svg(
        _ figure: Figure, isInterrupted: () -> Bool = { false }
    ) throws(Failure) -> String {
        String(decoding: try run(figure, as: .svg, isInterrupted), as: UTF8.self)
    }

    /// Writes the picture to `path`, which is replaced in one step.
    public static func draw(
        _ figure: Figure, to path: String, as format: Format, isInterrupted: () -> Bool = { false }
    ) throws(Failure) {
        let bytes = try run(figure, as: format, isInterrupted)
        do throws(OutputError) {
            try OutputFile.replace(path, with: bytes)
        } catch {
            throw .output(error)
        }
    }

    private static func run(
        _ figure: Figure, as format: Format, _ isInterrupted: () -> Bool
    ) throws(Failure) -> [UInt8] {
        let script = Drawing(figure).script(format)
        let outcome: Tool.Outcome
        do throws(SystemError) {
            // Without anybody's settings.
            outcome = try Tool.run(
                ["gnuplot", "--default-settings"], input: Array(script.utf8),
                isInterrupted: isInterrupted)
        } catch {
            throw error.code == ENOENT ? .missing : .failed(error.description)
        }
        if outcome.wasStopped { throw .interrupted }
        guard outcome.end == .exited(0), !outcome.output.isEmpty else {
            throw .failed(reason(outcome))
        }
        return outcome.output
    }

    /// The first line that says something; gnuplot repeats the command and points at it before that.
    private static func reason(_ outcome: Tool.Outcome) -> String {
        let lines = String(decoding: outcome.errors, as: UTF8.self).split(separator: "\n")
        let line = lines.last { $0.contains("line ") } ?? lines.last
        return line.map { Text.printable(String($0)) } ?? "it \(outcome.end)"
    }
}
