import DmaLinux
import Glibc
import Testing

/// A service of these options, and where it listens.
final class Served {
    let directory: TemporaryDirectory
    let run: Run
    let socket: String

    init(_ options: String...) throws {
        directory = try TemporaryDirectory()
        socket = directory.file("s")
        run = try Run(["serve", "--socket", socket, "-q"] + options)
    }

    /// The device process that serves now.
    var device: Int32? {
        Processes.all.first {
            let words = Processes.arguments(of: $0)
            return words.count == 3 && words[1] == "served-device"
                && words[2] == String(run.pid) && Processes.isAlive($0)
        }
    }

    /// Ends it as whoever is at the terminal does, and reads its rows. Nothing is left of it.
    func end(
        _ status: Int32 = 0, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> [ResultRow] {
        run.signal(SIGINT)
        let outcome = try run.finish(within: 30)
        #expect(
            outcome.end == .exited(status), "\(outcome.errors)",
            sourceLocation: sourceLocation)
        run.expectNoSurvivors(sourceLocation: sourceLocation)
        #expect(directory.names == [], sourceLocation: sourceLocation)
        return outcome.output.isEmpty ? [] : try Rows(csv: outcome.output).rows
    }

    /// Whether a row like that comes, while this goes on.
    func sees(while body: () throws -> Void, until isMeant: ([ResultRow]) -> Bool) throws
        -> Bool
    {
        let deadline = Deadline.after(milliseconds: 60_000)
        while !deadline.hasPassed {
            try body()
            if isMeant(rows) { return true }
        }
        return false
    }

    var rows: [ResultRow] {
        let text = run.output
        guard let end = text.lastIndex(of: "\n") else { return [] }
        return (try? Rows(csv: String(text[...end])).rows) ?? []
    }
}
