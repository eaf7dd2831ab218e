import Analysis
import DmaReport
import Experiment
import Glibc

/// Runs of two builds in pairs: old new, new old, old new and so on, so that neither is always the second.
struct Alternation {
    private let contenders: [Contender]
    private let options: [String]
    private let pairs: Int
    private let output: String?
    private let resume: String?
    private let isForPeople: Bool

    /// What decides where rows go, or how many there are, is this program's business.
    private static let own = [
        "-o", "--output", "--resume", "--raw", "--dry-run", "--format", "--repeat",
    ]

    init(
        _ contenders: [Contender], _ options: [String], pairs: Int, output: String?,
        resume: String?, isQuiet: Bool
    ) throws(UsageError) {
        self.contenders = contenders
        self.options = options
        self.pairs = pairs
        self.output = output
        self.resume = resume
        isForPeople = Terminal.isTerminal(STDERR_FILENO) && !isQuiet
        for option in options {
            let name = String(option.prefix { $0 != "=" })
            guard Self.own.contains(name) else { continue }
            throw UsageError(
                "\(name) behind --: each run measures and no more; ab has -o, --resume, --format and --pairs itself"
            )
        }
        guard resume == nil || output == nil else {
            throw UsageError("--resume \(resume!): rows go on in that file alone; leave -o out")
        }
    }

    /// All rows, those of an earlier start first.
    func run() throws -> [Row] {
        var rows = try resume.map { path throws(Failure) in try wholePairs(path) } ?? []
        let done = Set(rows.compactMap { RunSide(ofRun: $0.run)?.pair })
        var sink = try makeSink(rows)
        var progress = Progress()
        var count = 0
        let missing = (1...pairs).filter { !done.contains($0) }
        for pair in missing {
            for contender in pair % 2 == 1 ? contenders : contenders.reversed() {
                if Interruption.isRequested { throw interrupted(count, &progress) }
                if isForPeople {
                    progress.show(
                        ["pair \(pair) of \(pairs)"], done: Double(count),
                        of: Double(missing.count * 2), what: contender.name)
                }
                let measured: [Row]
                do throws(Failure) {
                    measured = try contender.measure(options)
                } catch {
                    progress.erase()
                    guard error.status != .interrupted else {
                        throw interrupted(count, &progress)
                    }
                    throw error
                }
                let named = try named(measured, contender, pair, beside: rows)
                do throws(OutputError) {
                    try sink?.write(named)
                } catch {
                    progress.erase()
                    throw Failure(.inputOutput, error.description)
                }
                rows += named
                count += 1
            }
        }
        progress.erase()
        return rows
    }

    private func interrupted(_ runs: Int, _ progress: inout Progress) -> Failure {
        progress.erase()
        return Failure(
            .interrupted,
            "interrupted; runs so far: \(runs)"
                + ((output ?? resume).map { "; go on with --resume \($0)" } ?? ""))
    }

    private func makeSink(_ rows: [Row]) throws(Failure) -> RowSink? {
        do throws(OutputError) {
            if let resume { return try RowSink.replacing(resume, by: rows, .csv) }
            guard let output else { return nil }
            return try RowSink(.csv, path: output)
        } catch {
            throw Failure(.inputOutput, error.description)
        }
    }

    /// The rows, called after side and pair; of the same plan and build as the rows of that side before.
    private func named(
        _ measured: [Row], _ contender: Contender, _ pair: Int, beside rows: [Row]
    ) throws(Failure) -> [Row] {
        let side = RunSide(isNew: contender.isNew, pair: pair)
        if let earlier = rows.first(where: { RunSide(ofRun: $0.run)?.isNew == contender.isNew }),
            let now = measured.first,
            earlier.plan != now.plan || earlier.revision != now.revision || earlier.env != now.env
        {
            throw Failure(
                .usage,
                "\(contender.name): its runs before were of another plan, build or environment; begin anew, without --resume"
            )
        }
        return measured.map {
            var row = $0
            row.run = side.name(ofRun: $0.run)
            return row
        }
    }

    /// The rows of an earlier start, but for those of a pair that is not whole: its runs would not be neighbours.
    private func wholePairs(_ path: String) throws(Failure) -> [Row] {
        let file: RowFile
        do throws(InputError) {
            file = try RowFile.read(path, acceptingCutEnd: true)
        } catch {
            throw Failure(.usage, "--resume \(error)")
        }
        guard file.format == .csv, file.rows.allSatisfy({ RunSide(ofRun: $0.run) != nil }) else {
            throw Failure(.usage, "--resume \(path): not a file that ab -o wrote")
        }
        let runs = Dictionary(grouping: file.rows) { RunSide(ofRun: $0.run)! }
        // A run whose rows were cut off has fewer than the others of its side.
        let most = [false, true].map { isNew in
            runs.filter { $0.key.isNew == isNew }.values.map(\.count).max() ?? 0
        }
        return file.rows.filter { row in
            let pair = RunSide(ofRun: row.run)!.pair
            return pair <= pairs
                && [0, 1].allSatisfy {
                    runs[RunSide(isNew: $0 == 1, pair: pair)]?.count == most[$0]
                }
        }
    }
}
