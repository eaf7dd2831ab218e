import Analysis
import ArgumentParser
import DmaReport
import Experiment
import Glibc

/// Two builds, measured in turns and compared pair by pair.
struct AbCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ab", _superCommandName: "dma-bench",
        abstract: "Measure two builds in turns, compare them, and fail on a regression.",
        discussion: """
            Runs OLD and NEW, two builds of this program, one after the other with the same OPTIONS, and so on for \
            every pair; the one that goes first changes from pair to pair. So both meet the same machine: what \
            drifts cancels. Pairs are compared as compare does it; a verdict needs 4 of them.

              dma-bench ab ./old ./new --fail-on 5% -- --size 4K..1G:x4 --rounds 3

            With -o all rows are kept, as CSV; their runs are called old-1-..., new-1-... and so on.

            Exit status: 3 where --fail-on finds a regression; 4, 64 and 69 also where a build ended with that; 70 \
            where one died or failed otherwise.
            """)

    @Argument(help: "The build that is compared with.", completion: .file()) var old: String
    @Argument(help: "The build that is compared.", completion: .file()) var new: String
    @Argument(parsing: .postTerminator, help: "What each run measures: options of dma-bench.")
    var options: [String] = []
    @Option(parsing: .unconditional, help: "Pairs of runs.") var pairs = "6"
    @Option(
        parsing: .unconditional,
        help: "Exit status 3 where a cell is slower by more than this, as in 5%, with p < 0.05.")
    var failOn: String?
    @Option(
        parsing: .unconditional, help: "Columns to compare, as schema names them (list).",
        completion: .list(Metric.all.map(\.name)))
    var metric = "dma_ns_p50"
    @Option(
        name: .shortAndLong, parsing: .unconditional, help: "Keep all rows in a file.",
        completion: .file())
    var output: String?
    @Option(
        parsing: .unconditional,
        help: "Go on with the pairs in a file that -o wrote; all else as at its start.",
        completion: .file())
    var resume: String?
    @Option(
        parsing: .unconditional, help: "table, csv, markdown or jsonl; default: table.",
        completion: .names(of: Format.self))
    var format: String?
    @Flag(name: .shortAndLong, help: "No progress.") var quiet = false

    func run() throws {
        let alternation: Alternation
        let (metrics, threshold, format): ([Metric], Double?, Format)
        do throws(UsageError) {
            format = try Verdicts.format(self.format)
            metrics = try Verdicts.metrics(metric)
            threshold = try Verdicts.threshold(failOn)
            let count = Int(try Quantity.count(pairs, option: "--pairs", in: 1...1000))
            guard failOn == nil || count >= 4 else {
                throw UsageError(
                    "--fail-on \(failOn!) --pairs \(count): fewer than 4 pairs prove nothing; take 4 or more"
                )
            }
            alternation = try Alternation(
                [Contender(isNew: false, old), Contender(isNew: true, new)], options,
                pairs: count, output: output, resume: resume, isQuiet: quiet)
        } catch {
            throw Failure(.usage, error.description)
        }
        let rows = try alternation.run()
        let environments = Set(rows.map(\.env)).sorted()
        if environments.count > 1 {
            Status.say(
                "dma-bench: warning: measured in different environments, env "
                    + environments.joined(separator: " and "))
        }
        /// With the pair for its run, which is the same on both sides.
        func side(_ isNew: Bool) -> [Row] {
            rows.compactMap { row in
                guard let side = RunSide(ofRun: row.run), side.isNew == isNew else { return nil }
                var row = row
                row.run = "\(side.pair)"
                return row
            }
        }
        let comparison = Comparison(
            pairing: side(false), named: "old (\(old))", with: side(true), named: "new (\(new))",
            metrics: metrics,
            threshold: threshold)
        try Verdicts.tell(comparison, of: "\(old), \(new)", format, failOn: failOn)
    }
}
