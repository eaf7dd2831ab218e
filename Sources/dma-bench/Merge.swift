import ArgumentParser
import DmaReport
import Experiment

/// One file of the rows of several: of the shards of a plan, or of its runs.
struct Merge: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "merge",
        abstract: "Put the rows of several files into one, sorted by round.",
        discussion: """
            For the shards of a plan (--shard), or for several runs of it. Rows of a round stay in the order of the \
            files and in the order within each. -o writes to a file, which may be one of those read, and the \
            environments of all of them beside it; --format is csv or jsonl.
            """)

    @Argument(help: "Files of rows, CSV or JSON lines.") var files: [String]
    @Flag(help: "Merge rows of different environments, builds and plans, too.") var force = false
    @Flag(help: "Keep both where two rows are of the same cell and round.")
    var keepDuplicates = false
    /// A run's own `-o` and `--format`, wherever they stand, are these.
    @ParentCommand var root: DmaBench

    func run() throws {
        let format: Format
        do throws(UsageError) {
            format = try Choice.named(
                root.format ?? "csv", option: "--format", among: [("csv", .csv), ("jsonl", .jsonl)])
        } catch {
            throw Failure(.usage, error.description)
        }
        let rows = try merged(try files.map { path throws(Failure) in try Self.read(path) })
        do throws(OutputError) {
            if let output = root.output {
                // Before the file is replaced, which may be one of those read.
                let environments = MergedEnvironments(of: files)
                let sink = try RowSink.replacing(output, by: rows, format)
                if let path = sink.environmentPath { try environments.write(to: path) }
                for file in environments.missing {
                    Status.say("dma-bench: no environment of \(Text.printable(file)) is known")
                }
            } else {
                var sink = try RowSink(format)
                for row in rows { try sink.write(row) }
            }
        } catch {
            throw Failure(.inputOutput, error.description)
        }
    }

    private static func read(_ path: String) throws(Failure) -> RowFile {
        do throws(InputError) {
            let file = try RowFile.read(path)
            guard let column = file.unknownColumns.first else { return file }
            throw InputError(
                path, "column '\(column)' would be lost; use the version that wrote it")
        } catch {
            throw Failure(.usage, error.description)
        }
    }

    private func merged(_ files: [RowFile]) throws(Failure) -> [Row] {
        var seen: [[String]: String] = [:]
        var first: (path: String, row: Row)?
        for file in files {
            var runs: [String: Int] = [:]
            for row in file.rows {
                if let first, !force { try check(row, file.path, isOf: first.row, first.path) }
                first = first ?? (file.path, row)
                // The shards of a plan name their runs differently: their first ones belong together.
                let run = runs[row.run] ?? runs.count
                runs[row.run] = run
                let key = row.cell + ["\(run) \(row.round)", row.plan ?? ""]
                if let path = seen[key], !keepDuplicates {
                    throw Failure(
                        .usage,
                        "\(file.path): strategy '\(row.strategy)' with \(row.sizeBytes.map { "\($0) bytes" } ?? "a real guest") in round \(row.round) is in "
                            + "\(path) as well; --keep-duplicates keeps both")
                }
                seen[key] = file.path
            }
        }
        let rounds = Dictionary(grouping: files.flatMap(\.rows), by: \.round)
        return rounds.keys.sorted().flatMap { rounds[$0]! }
    }

    private func check(
        _ row: Row, _ path: String, isOf first: Row, _ firstPath: String
    ) throws(Failure) {
        guard row.env == first.env else {
            throw Failure(
                .usage,
                "\(path): measured in another environment than \(firstPath) (\(row.env), \(first.env)); "
                    + "--force merges them all the same")
        }
        guard row.revision == first.revision else {
            throw Failure(
                .usage,
                "\(path): measured with another build than \(firstPath) (\(row.revision ?? "unknown"), "
                    + "\(first.revision ?? "unknown")); --force merges them all the same")
        }
        guard row.plan == first.plan else {
            throw Failure(
                .usage,
                "\(path): of another plan than \(firstPath); --force merges them all the same")
        }
    }
}
