import DmaLinux
import DmaReport
import Experiment
import Glibc

/// One of two builds that are measured in turns.
struct Contender {
    let isNew: Bool
    /// As it was named on the command line.
    let name: String
    private let path: String

    /// Refuses what is no program.
    init(isNew: Bool, _ name: String) throws(UsageError) {
        self.isNew = isNew
        self.name = name
        // A path, never something on the PATH.
        path = name.contains("/") ? name : "./" + name
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw UsageError(
                "\(name): \(String(cString: strerror(errno))); name a build of dma-bench")
        }
        guard status.st_mode & S_IFMT == S_IFREG, access(path, X_OK) == 0 else {
            throw UsageError("\(name): cannot be run; name a build of dma-bench")
        }
    }

    /// A run of its own, to its end; the rows. An interruption kills it, and with it its devices.
    func measure(_ options: [String]) throws(Failure) -> [Row] {
        let outcome: Tool.Outcome
        do throws(SystemError) {
            outcome = try Tool.run(
                [path] + options + ["--format", "csv", "--quiet"], input: [],
                isInterrupted: { Interruption.isRequested })
        } catch {
            throw Failure(.usage, "\(name): \(error); name a build of dma-bench")
        }
        if outcome.wasStopped { throw Failure(.interrupted, "interrupted") }
        try check(outcome)
        guard !outcome.output.isEmpty else {
            throw Failure(.usage, "\(name): it wrote no rows; its options must make it measure")
        }
        do throws(InputError) {
            let rows = try RowFile(outcome.output, path: name).rows
            guard !rows.isEmpty else { throw InputError(name, "it wrote no rows") }
            return rows
        } catch {
            throw Failure(.usage, "\(error); its options must make it measure")
        }
    }

    private func check(_ outcome: Tool.Outcome) throws(Failure) {
        let said = String(decoding: outcome.errors, as: UTF8.self).split(separator: "\n").last
        let why = said.map { ": \($0)" } ?? ""
        switch outcome.end {
        case .exited(0): return
        case .exited(let status):
            // Its word for what is the user's or the machine's business; the rest went wrong in it.
            let known: [Status] = [.safetyViolation, .usage, .unavailable, .interrupted]
            throw Failure(
                known.first { $0.rawValue == status } ?? .internalError,
                "\(name) \(outcome.end)\(why)")
        case .signalled:
            throw Failure(.internalError, "\(name) \(outcome.end)\(why)")
        }
    }
}
