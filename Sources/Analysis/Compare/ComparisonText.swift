import DmaReport
import DmaStatistics

extension Comparison {
    /// The comparison with its last line end. `csv` and `jsonl` hold every value and none of the notes; `width` is that
    /// of `table`, which leaves out what does not fit.
    public func text(_ format: Format, width: Int) -> String {
        switch format {
        case .csv:
            ([Self.names] + cells.map { values($0).map(CSV.text) }).map(CSV.line).joined()
        case .jsonl:
            cells.map { cell in
                JSON.object(zip(Self.names, values(cell)).map { JSON.Member($0, $1) }).compact
                    + "\n"
            }.joined()
        case .table:
            (Text.wrapped(heading, width: min(width, Self.textWidth))
                + FittedTable(cells, columns).lines(width: width)
                + notes.flatMap { Text.wrapped($0, width: min(width, Self.textWidth)) })
                .map { $0 + "\n" }.joined()
        case .markdown:
            "\(heading)\n\n\(FittedTable(cells, columns).markdown)"
                + (notes.isEmpty ? "" : "\n" + notes.map { "- \($0)\n" }.joined())
        }
    }

    /// Longer lines of text are hard to read.
    private static let textWidth = 100

    private var heading: String {
        let (what, test) =
            switch sides {
            case .files(let base, let new): ("\(new) against \(base), by runs", "Welch's t test")
            case .pairs(let base, let new):
                ("\(new) against \(base), by pairs of runs", "paired t test")
            case .values(let column, let base):
                ("\(column) against \(base), in pairs of runs or rounds", "paired t test")
            }
        let adjustment = testedCount > 1 ? ", adjusted for \(testedCount) comparisons (Holm)" : ""
        return Text.printable(what)
            + ": medians, the ratio of their geometric means and its 95 % interval; "
            + "p: \(test) of logarithms\(adjustment)"
    }

    // MARK: For people

    private var columns: [FittedTable<CellComparison>.Column] {
        typealias Column = FittedTable<CellComparison>.Column
        var shown = varied
        // The column that is compared, even where only one value is left to compare.
        if case .values(let name, _) = sides, !shown.contains(where: { $0.column.name == name }) {
            shown += PlanColumn.all.filter { $0.column.name == name }
        }
        let metrics = Set(cells.map(\.metric.name)).count
        return [Column(title: "strategy", importance: .max, isText: true) { $0.plan.strategy }]
            + shown.map { column in
                Column(title: column.title, importance: 9) { column.text($0.plan) }
            }
            + (metrics > 1
                ? [Column(title: "metric", importance: 8, isText: true) { $0.metric.name }] : [])
            + [
                Column(title: "of", importance: 1) { cell in
                    cell.base.count == cell.new.count
                        ? cell.unit.count(cell.new.count)
                        : "\(cell.base.count), \(cell.unit.count(cell.new.count))"
                },
                Column(title: "base", importance: 3) { $0.metric.text($0.base.median) },
                Column(title: "new", importance: 4) { $0.metric.text($0.new.median) },
                Column(title: "ratio", importance: 7) { Self.ratio($0.ratio?.estimate) },
                Column(title: "95 %", importance: 6) { cell in
                    cell.ratio?.interval.map { "\(Self.ratio($0.low)) to \(Self.ratio($0.high))" }
                        ?? Human.missing
                },
                Column(title: "p", importance: 2) { cell in
                    cell.adjustedP.map {
                        $0 < 0.0001 ? "<0.0001" : Human.decimal($0, digits: 2, trimmed: true)
                    } ?? Human.missing
                },
                Column(title: "would show", importance: 5) {
                    $0.leastVisible.map(Self.percent) ?? Human.missing
                },
                Column(title: "verdict", importance: 10) { $0.verdict.text },
            ]
    }

    private static func ratio(_ value: Double?) -> String {
        guard let value else { return Human.missing }
        return value.isFinite ? Human.decimal(value, digits: 4) : "inf"
    }

    // MARK: For programs

    private static let names =
        ["base", "strategy"] + PlanColumn.all.map(\.column.name) + [
            "metric", "unit", "base_count", "new_count", "base_median", "new_median", "ratio",
            "ratio_low", "ratio_high", "p", "p_holm", "would_show", "verdict", "regression",
        ]

    private func values(_ cell: CellComparison) -> [JSON] {
        let base =
            switch sides {
            case .files(let base, _), .values(_, let base), .pairs(let base, _): base
            }
        func number(_ value: Double?) -> JSON { value.map { JSON($0) } ?? .null }
        return [.string(base), .string(cell.plan.strategy)]
            + PlanColumn.all.map { $0.column.value(of: cell.plan) } + [
                .string(cell.metric.name), .string(cell.unit.rawValue), JSON(cell.base.count),
                JSON(cell.new.count), number(cell.base.median), number(cell.new.median),
                number(cell.ratio?.estimate), number(cell.ratio?.interval?.low),
                number(cell.ratio?.interval?.high), number(cell.ratio?.p), number(cell.adjustedP),
                number(cell.leastVisible), .string(cell.verdict.text), .bool(cell.isRegression),
            ]
    }
}
