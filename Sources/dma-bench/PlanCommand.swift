import DmaReport
import Experiment
import PinLock

/// The commands that rows come from, as far as rows tell: every option that a plan varies or that is not at its
/// default. Length of turns, seed and output are not in rows.
enum PlanCommand {
    /// The words of one command for each plan among the rows, in their order.
    static func words(of rows: [Row]) -> [[String]] {
        // Rows that are older than the hash of their plan are taken for one.
        rows.grouped { $0.plan ?? "" }.map { words(ofPlan: $0.elements) }
    }

    private static func words(ofPlan rows: [Row]) -> [String] {
        let isServed = rows.contains { $0.guest == "vhost-user" }
        var words = ["dma-bench"] + (isServed ? ["serve", "--socket", "SOCKET"] : [])
        for column in PlanColumn.all {
            guard let option = option(column, isServed: isServed) else { continue }
            let values = values(column, of: rows)
            // What a list cannot vary is left to its default.
            guard !values.isEmpty, values != usual(column),
                option != "--spread" || values.count == 1
            else { continue }
            words += [option, values.joined(separator: ",")]
        }
        words += ["--strategy", strategies(rows)]
        if !isServed, rows.contains(where: { $0.isMeasured }), rows.allSatisfy({ $0.engine == nil })
        {
            words.append("--no-write")
        }
        let rounds = rows.map(\.round).max() ?? 1
        let runs = Set(rows.map(\.run)).count
        if !isServed, rounds != Request().rounds { words += ["--rounds", "\(rounds)"] }
        if !isServed, runs > 1 { words += ["--repeat", "\(runs)"] }
        return words
    }

    private static let ofServe = [
        "policy": "--policy", "engine": "--engine", "convert_rate_hz": "--convert-rate",
        "convert_pages": "--convert-pages", "convert_where": "--convert-where", "store": "--store",
        "queues": "--queues",
    ]

    private static func option(_ column: PlanColumn, isServed: Bool) -> String? {
        isServed ? ofServe[column.column.name] : column.option
    }

    private static func values(_ column: PlanColumn, of rows: [Row]) -> [String] {
        var found: [String] = []
        for row in rows where !["n/a", "whole"].contains(column.text(row)) {
            let text = spelled(column, row)
            if !found.contains(text) { found.append(text) }
        }
        return found
    }

    /// What the option takes where the column has a number.
    private static func spelled(_ column: PlanColumn, _ row: Row) -> String {
        if column.option == "--idle" { return "\(UInt64(exactly: row.idleNs ?? 0) ?? 0)ns" }
        guard column.column.name.hasSuffix("_bytes"),
            let bytes = UInt64(CSV.text(column.column.value(of: row)))
        else { return column.text(row) }
        if column.option == "--misalign" { return "\(bytes / 4096)" }
        for (shift, unit) in [(40, "T"), (30, "G"), (20, "M"), (10, "K")]
        where bytes != 0 && bytes & (1 << shift - 1) == 0 {
            return "\(bytes >> shift)\(unit)"
        }
        return "\(bytes)"
    }

    /// What a run of every strategy has that was asked for nothing else.
    private static func usual(_ column: PlanColumn) -> [String]? {
        column.option == "--size" ? nil : values(column, of: unasked)
    }

    private static let unasked: [Row] = {
        guard let asked = try? DmaBench.parse(["--strategy", "all"]).request(),
            let plan = try? Plan(asked)
        else { return [] }
        let nowhere = Environment(revision: "", stable: .null, volatile: .null)
        let builder = RowBuilder(runName: "", environment: nowhere, plan: plan)
        return plan.cells.map { builder.planned($0, round: 1, position: 1) }
    }()

    private static func strategies(_ rows: [Row]) -> String {
        var names: [String] = []
        for row in rows where !names.contains(row.strategy) { names.append(row.strategy) }
        if Set(names) == Set(Registry.all.map { $0.info.name }) { return "all" }
        if Set(names) == Set(Registry.all.filter { $0.info.isSafe }.map { $0.info.name }) {
            return "safe"
        }
        return names.joined(separator: ",")
    }
}
