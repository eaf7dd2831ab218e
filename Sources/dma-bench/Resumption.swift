import DmaReport
import Experiment

/// A row of an earlier run, and the turn that it is of.
typealias EarlierRow = (turn: Plan.Turn, row: Row)

/// A run, by its name, and the rows of it that stand: neither failed nor interrupted, nor cut off.
struct EarlierRun {
    let name: String
    var rows: [EarlierRow]

    /// What they tell of whether there are enough rounds.
    func notes(writes: Bool) -> [Plan.Turn: StoppingRule.Note] {
        Dictionary(
            rows.map { turn, row in
                let isMeasured = row.status == .ok || row.status == .violation
                let figure = isMeasured ? writes ? row.dmaNsP50 : row.pairHotNs : nil
                return (turn, StoppingRule.Note(figure: figure, isQuiet: row.noisy.isEmpty))
            }, uniquingKeysWith: { _, last in last })
    }
}

/// Unfinished runs, found in their file of rows: what of the plan is done, checked to be the same plan on the same
/// machine.
struct Resumption {
    /// In the order in which they were started.
    let runs: [EarlierRun]

    /// `builder` is that of the runs which go on, as many as `count`.
    init(
        _ path: String, _ options: DmaBench, format: Format, builder: RowBuilder, runs count: Int
    ) throws(Failure) {
        func refusal(_ reason: String) -> Failure {
            Failure(.usage, "--resume \(path): \(reason)")
        }
        guard options.output == nil, options.raw == nil, path != "-" else {
            throw refusal("rows go on in that file alone; leave -o and --raw out")
        }
        let file: RowFile
        do throws(InputError) {
            file = try RowFile.read(path, acceptingCutEnd: true)
        } catch {
            throw Failure(.usage, "--resume \(error)")
        }
        guard file.format == format else {
            throw refusal("its rows are \(file.format.rawValue); --format must be the same")
        }
        guard file.unknownColumns.isEmpty else {
            throw refusal("a later version wrote it; use that")
        }
        let found = Set(file.rows.map(\.run)).count
        guard found <= count else {
            throw refusal("it has rows of several runs; add --repeat \(found), or more")
        }
        if let row = file.rows.first {
            guard row.env == builder.environment.hash else {
                throw refusal(
                    "measured in another environment (\(row.env), now \(builder.environment.hash)); "
                        + "compare 'dma-bench env' with \(Environment.path(beside: path))")
            }
            guard row.revision == builder.environment.revision else {
                throw refusal(
                    "measured with another build (\(row.revision ?? "unknown"), now "
                        + "\(builder.environment.revision)); use that one")
            }
            guard row.plan == builder.planHash else {
                throw refusal(
                    "it is of another plan: \(Self.difference(file.rows, from: builder))")
            }
        }
        let cells = Dictionary(
            uniqueKeysWithValues: builder.plan.cells.map {
                (builder.planned($0, round: 1, position: 1).cell, $0)
            })
        guard file.rows.allSatisfy({ cells[$0.cell] != nil }) else {
            throw refusal("it has rows of another --shard; name the one it was started with")
        }
        runs = file.rows.grouped(by: \.run).map { run, rows in
            let final = rows.filter(\.isFinal)
            return EarlierRun(
                name: run, rows: final.map { (Plan.Turn(cells[$0.cell]!, round: $0.round), $0) })
        }
    }

    /// The option that makes the difference, where rows show it.
    private static func difference(_ rows: [Row], from builder: RowBuilder) -> String {
        let planned = builder.plan.cells.map { builder.planned($0, round: 1, position: 1) }
        // Rounds that are not whole do not show all cells.
        let isWhole = rows.contains { $0.round > 1 }
        for (place, (column, option)) in Schema.cellColumns.enumerated() {
            let there = Set(rows.map { $0.cell[place] })
            let here = Set(planned.map { $0.cell[place] })
            if let extra = there.subtracting(here).min() {
                return "\(option) differs, since its \(column.name) is also '\(extra)'"
            }
            if isWhole, let missing = here.subtracting(there).min() {
                return "\(option) differs, since its \(column.name) is never '\(missing)'"
            }
        }
        return "an option differs that rows do not show, such as --seed, --ops, --seconds, "
            + "--guest-memory, --notify or the order of a list"
    }
}

extension Row {
    /// Whether its turn came to an end, and need not be run again.
    fileprivate var isFinal: Bool {
        switch status {
        case .ok, .violation, .unavailable: true
        case .interrupted, .failed: false
        }
    }
}
