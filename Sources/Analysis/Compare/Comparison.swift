import DmaReport
import DmaStatistics

/// Two sides of measurements compared cell by cell: what became slower, and how sure that is.
public struct Comparison: Sendable {
    /// Which two sides.
    enum Sides: Sendable {
        case files(base: String, new: String)
        /// Each value of a column of one file against one of them.
        case values(column: String, base: String)
        /// Runs in pairs, old and new.
        case pairs(base: String, new: String)

        var names: (base: String, new: String) {
            switch self {
            case .files(let base, let new), .pairs(let base, let new): (base, new)
            case .values(let column, let base): ("\(column) \(base)", "other \(column)")
            }
        }
    }

    let sides: Sides
    /// What the cells differ in besides the strategy.
    let varied: [PlanColumn]
    let threshold: Double?
    /// How many comparisons the p values are adjusted for: those with enough values on both sides.
    public private(set) var testedCount = 0
    public private(set) var cells: [CellComparison] = []
    /// What in new, of a strategy that claims safety, wrote private pages, which it did not in base.
    public private(set) var violations: [String] = []
    /// What does not show in the cells, one thing a line, whatever rows and names of files have in them.
    public var notes: [String] { found.map(Text.printable) }
    private var found: [String] = []

    /// The rows of two files. Their runs are independent, and each has one value of a cell: the median over its rounds.
    /// Welch's test of logarithms. The names are for the reader.
    public init(
        base: [Row], named baseName: String = "base", new: [Row], named newName: String = "new",
        metrics: [Metric], threshold: Double?
    ) {
        self.init(
            .files(base: baseName, new: newName), base, new, metrics, threshold
        ) { CellComparison($0, $1, $2) }
    }

    /// The rows of runs in pairs, old and new one right after the other. Those of a pair have the same name of a run.
    public init(
        pairing base: [Row], named baseName: String, with new: [Row], named newName: String,
        metrics: [Metric], threshold: Double?
    ) {
        self.init(
            .pairs(base: baseName, new: newName), base, new, metrics, threshold
        ) { CellComparison(pairing: $0, $1, $2, by: .pair) }
    }

    private init(
        _ sides: Sides, _ base: [Row], _ new: [Row], _ metrics: [Metric], _ threshold: Double?,
        _ comparison: (MeasuredCell, MeasuredCell, Metric) -> CellComparison
    ) {
        self.sides = sides
        self.threshold = threshold
        let (old, young) = (MeasuredCells(base), MeasuredCells(new))
        varied = PlanColumn.varied(in: (old.cells + young.cells).map(\.plan))
        let pairs = CellPairs(base: old.cells, new: young.cells)
        compare(pairs, metrics, comparison)
        findViolations(base: old.cells, new: young.cells)
        note(pairs)
        found += old.notes(metrics).map { "\(sides.names.base): \($0)" }
        found += young.notes(metrics).map { "\(sides.names.new): \($0)" }
    }

    /// The rows of one file: each value of a column of the plan against `base`, or the first, in pairs by run or by
    /// round.
    public init(
        _ rows: [Row], column: String, base: String? = nil, metrics: [Metric], threshold: Double?
    ) {
        let measured = MeasuredCells(rows)
        let base = base ?? measured.cells.first.map { Self.value(of: column, $0.plan) } ?? ""
        sides = .values(column: column, base: base)
        self.threshold = threshold
        let isBase = { (cell: MeasuredCell) in Self.value(of: column, cell.plan) == base }
        let (old, young) = (
            measured.cells.filter(isBase), measured.cells.filter { !isBase($0) }
        )
        varied = PlanColumn.varied(in: measured.cells.map(\.plan))
        let pairs = CellPairs(base: old, new: young, free: column)
        compare(pairs, metrics) { CellComparison(pairing: $0, $1, $2, by: .run) }
        findViolations(base: old, new: young)
        note(pairs)
        found += measured.notes(metrics)
    }

    private mutating func compare(
        _ pairs: CellPairs, _ metrics: [Metric],
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
        let (base, new) = sides.names
        found += list(pairs.onlyBase).map { "only in \(base): \($0)" }
        found += list(pairs.onlyNew).map { "only in \(new): \($0)" }
        let untested = cells.count - testedCount
        if untested > 0 {
            found.append("without a verdict: \(untested) of \(cells.count) comparisons; \(need)")
        }
        let undecided = cells.filter { $0.verdict == .inconclusive }
        if let threshold, !undecided.isEmpty {
            let differences = undecided.map { cell in
                "\(describe(cell)) (\(cell.leastVisible.map(Self.percent) ?? "any"))"
            }
            found.append(
                "inconclusive at \(Self.percent(threshold)): \(undecided.count) of \(cells.count) comparisons, each with "
                    + "the least difference that would have shown: "
                    + differences.joined(separator: "; "))
        }
    }

    static func percent(_ share: Double) -> String {
        share.isFinite ? Human.decimal(share * 100, digits: 2, trimmed: true) + " %" : "any"
    }

    /// Why no regression can be found, whatever the rows hold; nil where one can be.
    public var reasonForNoVerdict: String? {
        guard testedCount == 0 else { return nil }
        let (base, new) = sides.names
        let most = (cells.map(\.base.count).max() ?? 0, cells.map(\.new.count).max() ?? 0)
        let unit = cells.first?.unit ?? .run
        let found =
            switch sides {
            case .files: "\(base) has \(unit.count(most.0)), \(new) \(unit.count(most.1))"
            case .values, .pairs: "there \(most.1 == 1 ? "is" : "are") \(unit.count(most.1))"
            }
        return "\(found); \(need)"
    }

    /// What it takes, and how to come by it.
    private var need: String {
        switch sides {
        case .files:
            "a verdict needs \(Unit.run.fewest) runs or more on each side, and at most twice as many on one as on the "
                + "other: measure both with \(Unit.run.remedy)"
        case .values:
            "a verdict needs \(Unit.round.fewest) rounds or more of one run, or \(Unit.run.fewest) runs: measure with "
                + "\(Unit.round.remedy), or \(Unit.run.remedy)"
        case .pairs:
            "a verdict needs \(Unit.pair.fewest) pairs or more: measure with \(Unit.pair.remedy)"
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
        cells.grouped { place($0.plan) }.map { place, cells in
            let names = cells.map(\.plan.strategy).joined(separator: ", ")
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
