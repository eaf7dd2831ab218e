import Report
import Statistics

/// Two sides of measurements compared cell by cell: what became slower, and how sure that is.
public struct Comparison: Sendable {
    /// Which two sides.
    enum Sides: Sendable {
        case files(base: String, new: String)
        /// Each value of a column of one file against one of them.
        case values(column: String, base: String)
    }

    let sides: Sides
    /// What the cells differ in besides the strategy.
    let varied: [PlanColumn]
    /// How many comparisons the p values are adjusted for.
    private(set) var testedCount = 0
    public private(set) var cells: [CellComparison] = []
    /// What in new, of a strategy that claims safety, wrote private pages, which it did not in base.
    public private(set) var violations: [String] = []
    /// What does not show in the cells, one thing a line.
    public private(set) var notes: [String] = []

    /// The rows of two files. Their rounds are independent: ratios of every new round to every base
    /// round, and the Mann-Whitney test. The names are for the reader.
    public init(
        base: [Row], named baseName: String = "base", new: [Row], named newName: String = "new",
        metrics: [Metric], threshold: Double?
    ) {
        sides = .files(base: baseName, new: newName)
        let (old, young) = (MeasuredCells(base), MeasuredCells(new))
        varied = PlanColumn.varied(in: (old.cells + young.cells).map(\.plan))
        let pairs = CellPairs(base: old.cells, new: young.cells)
        compare(pairs, metrics, threshold) { CellComparison($0, $1, $2) }
        findViolations(base: old.cells, new: young.cells)
        note(pairs)
        notes += old.notes(metrics).map { "\(baseName): \($0)" }
        notes += young.notes(metrics).map { "\(newName): \($0)" }
    }

    /// The rows of one file: each value of a column of the plan against `base`, or the first. Rounds
    /// are pairs: ratios round by round, and the p of `Ratio.init(pairs:)`.
    public init(
        _ rows: [Row], column: String, base: String? = nil, metrics: [Metric], threshold: Double?
    ) {
        let measured = MeasuredCells(rows)
        let base = base ?? measured.cells.first.map { Self.value(of: column, $0.plan) } ?? ""
        sides = .values(column: column, base: base)
        let isBase = { (cell: MeasuredCell) in Self.value(of: column, cell.plan) == base }
        let (old, young) = (
            measured.cells.filter(isBase), measured.cells.filter { !isBase($0) }
        )
        varied = PlanColumn.varied(in: measured.cells.map(\.plan))
        let pairs = CellPairs(base: old, new: young, free: column)
        compare(pairs, metrics, threshold) { CellComparison(pairing: $0, $1, $2) }
        findViolations(base: old, new: young)
        note(pairs)
        notes += measured.notes(metrics)
    }

    private mutating func compare(
        _ pairs: CellPairs, _ metrics: [Metric], _ threshold: Double?,
        _ comparison: (MeasuredCell, MeasuredCell, Metric) -> CellComparison
    ) {
        for (base, new) in pairs.pairs {
            cells += metrics.map { comparison(base, new, $0) }
                .filter { $0.base.count > 0 || $0.new.count > 0 }
        }
        let tested = cells.indices.filter { cells[$0].isTested }
        for (index, p) in zip(tested, holm(tested.map { cells[$0].ratio?.p ?? 1 })) {
            cells[index].decide(adjustedP: p, of: tested.count, threshold: threshold)
        }
        testedCount = tested.count
    }

    private mutating func findViolations(base: [MeasuredCell], new: [MeasuredCell]) {
        let before = Set(base.filter(\.isViolated).map(\.key))
        violations = new.filter { $0.isViolated && !before.contains($0.key) }
            .map { describe($0.plan) }
    }

    private mutating func note(_ pairs: CellPairs) {
        let (base, new) =
            switch sides {
            case .files(let base, let new): (base, new)
            case .values(let column, let base): ("\(column) \(base)", "other \(column)")
            }
        notes += list(pairs.onlyBase).map { "only in \(base): \($0)" }
        notes += list(pairs.onlyNew).map { "only in \(new): \($0)" }
        let untested = cells.count - testedCount
        if untested > 0 {
            notes.append(
                "fewer than \(CellComparison.fewestRounds) rounds, so inconclusive: \(untested) of \(cells.count) comparisons"
            )
        }
    }

    /// The cell and the metric.
    public func describe(_ cell: CellComparison) -> String {
        "\(describe(cell.plan)), \(cell.metric.name)"
    }

    /// The strategy, and what else tells the plan from others.
    private func describe(_ plan: Row) -> String {
        ([plan.strategy] + place(plan)).joined(separator: ", ")
    }

    private func place(_ plan: Row) -> [String] {
        varied.filter { $0.text(plan) != Human.missing }.map { "\($0.title) \($0.text(plan))" }
    }

    /// Strategies of the same place in one line.
    private func list(_ cells: [MeasuredCell]) -> [String] {
        var order: [[String]] = []
        var strategies: [[String]: [String]] = [:]
        for cell in cells {
            let place = place(cell.plan)
            if strategies[place] == nil { order.append(place) }
            strategies[place, default: []].append(cell.plan.strategy)
        }
        return order.map { place in
            let names = strategies[place]!.joined(separator: ", ")
            return place.isEmpty ? names : "\(place.joined(separator: ", ")): \(names)"
        }
    }

    /// The columns of a plan by which one file can be split.
    public static let columns = [CellPairs.strategy] + PlanColumn.all.map(\.column.name)

    /// What a row has in one of `columns`, as CSV has it.
    public static func value(of column: String, _ row: Row) -> String {
        Schema.column(column).map { CSV.text($0.value(of: row)) } ?? ""
    }
}
