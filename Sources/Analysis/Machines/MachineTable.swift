import DmaReport

/// A comparison as a table: a line for each cell of the plan, a column for each machine.
struct MachineTable {
    private typealias Line = MachineComparison.Line
    private let machines: [MachineRows]
    private let comparison: MachineComparison
    private let varied: [PlanColumn]

    init(_ machines: [MachineRows], _ comparison: MachineComparison) {
        self.machines = machines
        self.comparison = comparison
        varied = PlanColumn.varied(in: comparison.lines.map(\.plan))
    }

    // MARK: As text

    var values: FittedTable<MachineComparison.Line> {
        table { comparison.metric.text($0.values[$1]?.median) }
    }

    var factors: FittedTable<MachineComparison.Line> {
        table { [baseline = comparison.baseline] line, index in
            line.plan.strategy == baseline && line.values[index] != nil
                ? "1" : Self.factor(line.values[index])
        }
    }

    /// Of what is not the baseline; missing where that was not measured in this place of the plan.
    private static func factor(_ value: MachineComparison.Value?) -> String {
        guard let value, let factor = value.factor else { return Human.missing }
        let text = MachineComparison.times(factor)
        guard value.isByRuns else { return text + " ?" }
        return value.comparison?.verdict == .same ? text + " ~" : text
    }

    private func table(
        _ text: @escaping @Sendable (MachineComparison.Line, _ machine: Int) -> String
    ) -> FittedTable<MachineComparison.Line> {
        typealias Column = FittedTable<MachineComparison.Line>.Column
        let strategy = Column(title: "strategy", importance: .max, isText: true) {
            $0.plan.strategy + ($0.plan.safe ? "" : "*")
        }
        let plan = varied.map { column in
            Column(title: column.title, importance: 100) { column.text($0.plan) }
        }
        // The last machines go first where there is no room.
        let columns = machines.enumerated().map { index, machine in
            Column(title: machine.name, importance: 90 - index) { text($0, index) }
        }
        return FittedTable(comparison.lines, [strategy] + plan + columns)
    }

    // MARK: As a part of a page

    /// What the factors of each comparison count from.
    static func baselines(_ tables: [MachineTable]) -> String {
        let names = tables.map(\.comparison.baseline)
        return Set(names).count < 2
            ? names.first ?? ""
            : tables.map { "\($0.comparison.baseline) (\($0.comparison.cost.short))" }.joined(
                separator: " or ")
    }

    /// All comparisons in one table, whose lines are those of all.
    static func markup(_ tables: [MachineTable]) -> Markup {
        guard !tables.isEmpty else { return "<p>No cell was measured on all machines.</p>" }
        // What one comparison lacks, a share of a turn without a write say, another may have.
        var seen: Set<[String]> = []
        let lines = tables.flatMap(\.comparison.lines).filter { seen.insert($0.key).inserted }
        let varied = PlanColumn.varied(in: lines.map(\.plan))
        let plans = varied.map { "<th scope=\"col\">\($0.title)</th>" as Markup }
        let titles = tables.flatMap { table in
            table.machines.map {
                "<th scope=\"col\">\(table.comparison.cost.short) \($0.name)</th>" as Markup
            }
        }
        return """
            <div class="wide" tabindex="0">
            <table id="cells">
            <thead><tr><th scope="col" class="text">strategy</th>\((plans + titles).joined(separator: ""))</tr></thead>
            <tbody>
            \(lines.map { row($0, varied, tables) }.joined())
            </tbody>
            </table>
            </div>
            """
    }

    private static func row(
        _ line: Line, _ varied: [PlanColumn], _ tables: [MachineTable]
    ) -> Markup {
        let plan = line.plan
        let mark: Markup = plan.safe ? "" : " <small class=\"unsafe\">unsafe</small>"
        let plans = varied.map { "<td>\($0.text(plan))</td>" as Markup }
        let fields = tables.flatMap { table in
            let line = table.comparison.lines.first { $0.key == line.key }
            return table.machines.indices.map { index -> Markup in
                let value = line?.values[index]
                let key: Markup = value?.median.map { " data-v=\"\(JSON($0).compact)\"" } ?? ""
                let factor: Markup = value?.factor == nil ? "" : "<small>\(factor(value))</small>"
                return "<td\(key)>\(table.comparison.metric.text(value?.median))\(factor)</td>"
            }
        }
        return """
            <tr><th scope="row" class="text">\(plan.strategy)\(mark)</th>\((plans + fields).joined(separator: ""))</tr>
            """
    }
}
