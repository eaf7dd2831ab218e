import Analysis
import ArgumentParser
import DmaReport
import Experiment
import Glibc

/// Whether a change made anything slower, from the rows of two runs or of one.
struct CompareCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract:
            "Compare the rows of two runs, or the strategies of one, and fail on a regression.",
        discussion: """
            With two files each cell of the second is compared with the same one of the first. Each run counts once, \
            with the median over its rounds: a verdict needs 4 runs on each side (--repeat 4). With one file and \
            --col each value of that column is compared with the first, or --base, in pairs: run by run from 4 runs \
            on, else round by round of one run, 6 at least. A verdict needs p < 0.05, adjusted for the number of \
            comparisons; without it is ~, or inconclusive where a regression beyond --fail-on is not ruled out.

              dma-bench compare base.csv new.csv --fail-on 5%
              dma-bench compare --col strategy --base perpage rows.csv

            Exit status: 3 where --fail-on finds a regression; 4 where a strategy that claims safety wrote a private \
            page in the second file and not in the first; 64 where there are too few runs for --fail-on to find any.
            """)

    @Argument(
        help: "Files of rows, CSV or JSON lines: BASE NEW, or one with --col; - is standard input.",
        completion: .file())
    var files: [String]
    @Option(
        parsing: .unconditional, help: "Compare the values of this column of one file.",
        completion: .list(Comparison.columns))
    var col: String?
    @Option(parsing: .unconditional, help: "With --col: what the others are compared with.")
    var base: String?
    @Option(
        parsing: .unconditional, help: "Columns to compare, as schema names them (list).",
        completion: .list(Metric.all.map(\.name)))
    var metric = "dma_ns_p50"
    @Option(
        parsing: .unconditional,
        help: "Exit status 3 where a cell is slower by more than this, as in 5%, with p < 0.05.")
    var failOn: String?
    @Flag(help: "Compare even what was measured in different environments.") var force = false
    @Option(
        parsing: .unconditional, help: "table, csv, markdown or jsonl; default: table.",
        completion: .names(of: Format.self))
    var format: String?
    /// So many random draws of runs from one file of `ab`: how often would there have been a verdict?
    @Option(parsing: .unconditional, help: .hidden) var testDraws: String?
    /// A run's own `--format`, wherever it stands, is this one.
    @ParentCommand var root: DmaBench

    func run() throws {
        if let testDraws { return try tellDraws(testDraws) }
        let comparison: Comparison
        let format: Format
        do throws(UsageError) {
            format = try Verdicts.format(self.format ?? root.format)
            comparison = try compare()
        } catch {
            throw Failure(.usage, error.description)
        }
        try Verdicts.tell(
            comparison, of: files.joined(separator: ", "), format, failOn: failOn)
    }

    private func tellDraws(_ text: String) throws {
        do throws(UsageError) {
            let count = Int(try Quantity.count(text, option: "--test-draws", in: 1...100_000))
            let threshold = try Verdicts.threshold(failOn) ?? 0.05
            guard files.count == 1 else { throw UsageError("--test-draws: name one file of ab") }
            var draws = Draws(
                try read(files[0]).rows, threshold: threshold, draws: count, seed: 1)
            let lines = draws.lines()
            guard lines.count > 2 else {
                throw UsageError("\(files[0]): --test-draws needs four pairs of ab or more")
            }
            try? Status.print(lines.joined(separator: "\n") + "\n")
        } catch {
            throw Failure(.usage, error.description)
        }
    }

    private func compare() throws(UsageError) -> Comparison {
        let metrics = try Verdicts.metrics(metric)
        let threshold = try Verdicts.threshold(failOn)
        guard let column = col else {
            guard files.count == 2, base == nil else {
                throw UsageError(
                    "compare: name two files, BASE NEW, or one and --col strategy")
            }
            guard files[0] != "-" || files[1] != "-" else {
                throw UsageError("compare - -: standard input is one file; name the other")
            }
            let (old, new) = (try read(files[0]), try read(files[1]))
            try checkEnvironments([old, new])
            return Comparison(
                base: old.rows, named: old.path, new: new.rows, named: new.path, metrics: metrics,
                threshold: threshold)
        }
        guard files.count == 1 else {
            throw UsageError("compare --col \(column): name one file; two are compared without it")
        }
        _ = try Choice.named(
            column, option: "--col", among: Comparison.columns.map { ($0, $0) })
        let file = try read(files[0])
        if let base {
            let values = Set(file.rows.map { Comparison.value(of: column, $0) }).sorted()
            _ = try Choice.named(base, option: "--base", among: values.map { ($0, $0) })
        }
        try checkEnvironments([file])
        return Comparison(
            file.rows, column: column, base: base, metrics: metrics, threshold: threshold)
    }

    private func read(_ path: String) throws(UsageError) -> RowFile {
        do throws(InputError) {
            return try RowFile.read(path)
        } catch {
            throw UsageError(error.description)
        }
    }

    /// Figures of two machines or builds say nothing about each other.
    private func checkEnvironments(_ files: [RowFile]) throws(UsageError) {
        let found = Set(files.flatMap { $0.rows.map(\.env) }).sorted()
        guard found.count > 1 else { return }
        let paths = files.map(\.path)
        let descriptions = paths.map { Environment.path(beside: $0) }
        let seen = descriptions.allSatisfy { access($0, R_OK) == 0 }
        let difference =
            "\(paths.joined(separator: ", ")): measured in different environments, env "
            + found.joined(separator: " and ")
        guard force else {
            throw UsageError(
                difference + "; measure both on one machine with the same settings"
                    + (seen && files.count > 1
                        ? " (diff \(descriptions.joined(separator: " ")))" : "")
                    + "; for two machines 'dma-bench report \(paths.joined(separator: " "))' has the ratios within "
                    + "each; or add --force")
        }
        Status.say("dma-bench: warning: \(Text.printable(difference))")
    }
}
