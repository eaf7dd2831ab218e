import DmaReport
import Experiment
import PinLock

/// The commands that rows come from, as far as rows tell: every option that a plan varies or that is not at its
/// default. Length of turns, seed and output are not in rows, nor where sockets, disks and traces are.
///
/// Anybody may have written the rows. So of what they say of an option only that becomes a word which the option takes,
/// and of strategies only the names of those there are; a trace may have any name.
enum PlanCommand {
    /// The words of one command for each plan among the rows, in their order.
    static func words(of rows: [Row]) -> [[String]] {
        // Rows that are older than the hash of their plan are taken for one.
        rows.grouped { $0.plan ?? "" }.map { _, rows in
            rows.contains { $0.guest == "vhost-user" } ? ofServe(rows) : ofRun(rows)
        }
    }

    private static func ofRun(_ rows: [Row]) -> [String] {
        var words = ["dma-bench"]
        let replayed = rows.filter { $0.trace != nil }
        for column in PlanColumn.all {
            guard let option = DmaBench.requestOptions.first(where: { $0.option == column.option })
            else { continue }
            let isOfTrace = ["--trace", "--speed"].contains(option.option)
            let values = values(column, of: isOfTrace ? replayed : rows)
                .filter { word(of: option, $0) != nil }
            // What a list cannot vary is left to its default.
            guard !values.isEmpty, values != usual(column),
                let word = word(of: option, values.joined(separator: ",")),
                word != option.word?(Request()) || option.option == "--size"
            else { continue }
            words += [option.option, values.joined(separator: ",")]
        }
        words += strategies(rows)
        if rows.allSatisfy(isWithoutWrite) { words.append("--no-write") }
        let rounds = rows.map(\.round).max() ?? 1
        let runs = Set(rows.map(\.run)).count
        if rounds != Request().rounds { words += ["--rounds", "\(rounds)"] }
        if runs > 1 { words += ["--repeat", "\(runs)"] }
        return words
    }

    /// What a request says of an option with this text; nil where the option refuses it.
    private static func word(of option: RequestOption, _ text: String) -> String? {
        var request = Request()
        guard (try? option.read(text, &request)) != nil else { return nil }
        return option.word?(request)
    }

    /// A device that only reads has no engine either, but a direction; one that reads as a trace did, what it reads with.
    private static func isWithoutWrite(_ row: Row) -> Bool {
        row.engine == "none" && row.direction ?? "write" == "write" && row.readEngine == nil
    }

    // MARK: Of a real guest

    private static func ofServe(_ rows: [Row]) -> [String] {
        let strategies = strategies(rows)
        let needed = ["--socket", "SOCKET"]
        guard let plain = try? ServeCommand.parse(needed) else { return [] }
        let options = [
            ("store", "--store", plain.store), ("queues", "--queues", plain.queues),
            ("policy", "--policy", plain.policy),
            ("convert_rate_hz", "--convert-rate", plain.convertRate),
            ("convert_pages", "--convert-pages", plain.convertPages),
            ("convert_where", "--convert-where", plain.convertWhere),
            ("convert_hold_ns", "--convert-hold", plain.convertHold),
            ("cache_bytes", "--cache", plain.cache), ("engine", "--engine", plain.engine),
        ]
        var words = ["dma-bench", "serve"] + needed
        for (name, option, usual) in options {
            guard let column = PlanColumn.all.first(where: { $0.column.name == name }) else {
                continue
            }
            let values = values(column, of: rows)
            guard values.count == 1, values[0] != usual else { continue }
            if option == "--store" {
                if let store = stores[values[0]] { words += [option, store] }
            } else if (try? ServeCommand.parse(needed + strategies + [option, values[0]]).request())
                != nil
            {
                words += [option, values[0]]
            }
        }
        return words + strategies
    }

    /// Rows have the kind alone.
    private static let stores = [
        "null": "null", "fill": "fill", "memory": "memory:SIZE", "file": "file:PATH",
    ]

    // MARK: Of both

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
        let name = column.column.name
        if name == "trace" { return ReplayedTrace.name(in: column.text(row)) }
        if ["idle_ns", "convert_hold_ns"].contains(name) {
            let time = (name == "idle_ns" ? row.idleNs : row.convertHoldNs) ?? 0
            return time == 0 ? "0" : UInt64(exactly: time).map { "\($0)ns" } ?? ""
        }
        guard name.hasSuffix("_bytes"),
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

    /// The option and its value; nothing where none of the names is that of a strategy.
    private static func strategies(_ rows: [Row]) -> [String] {
        let known = Set(Registry.all.map { $0.info.name })
        var names: [String] = []
        for row in rows where known.contains(row.strategy) && !names.contains(row.strategy) {
            names.append(row.strategy)
        }
        guard !names.isEmpty else { return [] }
        if Set(names) == known { return ["--strategy", "all"] }
        if Set(names) == Set(Registry.all.filter { $0.info.isSafe }.map { $0.info.name }) {
            return ["--strategy", "safe"]
        }
        return ["--strategy", names.joined(separator: ",")]
    }
}
