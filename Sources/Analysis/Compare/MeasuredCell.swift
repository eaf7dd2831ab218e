import DmaReport
import DmaStatistics

/// One combination of a plan with all the rounds in which it was measured.
struct MeasuredCell: Sendable {
    /// Strategy and plan as text: different for different cells.
    let key: [String]
    /// A row that stands for what the plan asked for.
    let plan: Row
    /// Rows that are whole, each round once, in the order of the file.
    fileprivate(set) var rounds: [Row] = []
    /// Whether its strategy claims safety and was caught.
    fileprivate(set) var isViolated = false

    /// One value of each run that has any: the median over its rounds. In the order of the file.
    func runs(_ metric: Metric) -> [(run: String, value: Double)] {
        rounds.grouped(by: \.run).compactMap { run, rows in
            Sample(rows.compactMap { metric.value($0) }).median.map { (run, $0) }
        }
    }
}

/// The cells of a file, and what in it is not measured.
struct MeasuredCells: Sendable {
    /// In the order in which they first appear.
    private(set) var cells: [MeasuredCell] = []
    private var leftOut = Tally()
    private var noisy = Tally()

    init(_ rows: [Row]) {
        var places: [[String]: Int] = [:]
        var seen: [Set<RoundID>] = []
        for row in rows {
            let key = [row.strategy] + PlanColumn.all.map { $0.text(row) }
            let place = places[key] ?? cells.count
            if place == cells.count {
                places[key] = place
                cells.append(MeasuredCell(key: key, plan: row))
                seen.append([])
            }
            if row.safe, row.status == .violation || row.violations ?? 0 > 0 {
                cells[place].isViolated = true
            }
            guard row.status == .ok else {
                leftOut.add("left out: \(row.strategy) \(row.status)")
                continue
            }
            guard seen[place].insert(row.roundID).inserted else {
                leftOut.add("left out: the same round of the same run again")
                continue
            }
            for reason in row.noisy { noisy.add("noisy: \(reason)") }
            cells[place].rounds.append(row)
        }
    }

    /// What readers of a comparison should know of these rows, a line each.
    func notes(_ metrics: [Metric]) -> [String] {
        var lines = leftOut.lines("row") + noisy.lines("row")
        for metric in metrics {
            var (missing, slow) = (Tally(), Tally())
            var (outliers, count) = (0, 0)
            for cell in cells {
                let values = cell.rounds.map(metric.value)
                for value in values where value == nil { missing.add("no \(metric.name)") }
                let found = values.compactMap { $0 }
                outliers += Sample(found).outlierCount
                count += found.count
                if isFirstSlow(metric.isRate ? found.map { -$0 } : found) {
                    slow.add("slow first round in \(metric.name): \(cell.plan.strategy)")
                }
            }
            if outliers > 0 {
                lines.append(
                    "outliers in \(metric.name), not left out: \(outliers) of \(count) rounds")
            }
            lines += missing.lines("round") + slow.lines("cell")
        }
        return lines
    }
}

/// Which measurement of its cell a row is.
struct RoundID: Hashable {
    let run: String
    let round: Int
}

extension Row {
    var roundID: RoundID { RoundID(run: run, round: round) }
}
