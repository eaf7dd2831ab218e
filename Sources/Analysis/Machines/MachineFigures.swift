import DmaReport
import DmaStatistics

/// Pictures with a line for each machine: what one strategy costs, by what the plan varies.
struct MachineFigures {
    private(set) var drawn: [Figure] = []
    /// What there is no data for, and why: a line each.
    private(set) var omitted: [String] = []

    /// How many strategies have a picture: the table has the others.
    private static let most = 3

    init(_ machines: [MachineRows], _ comparison: MachineComparison?, sources: [String]) {
        guard let comparison, let base = MachineSentences.place(comparison) else {
            omitted = ["no combination of the plan was measured on all machines"]
            return
        }
        var strategies: [String] = []
        for line in comparison.lines where !strategies.contains(line.plan.strategy) {
            if line.values.allSatisfy({ $0 != nil }) { strategies.append(line.plan.strategy) }
        }
        // The baseline first.
        strategies = [comparison.baseline] + strategies.filter { $0 != comparison.baseline }
        for strategy in strategies.prefix(Self.most) {
            do throws(Figures.Omission) {
                drawn.append(try Self.figure(of: strategy, machines, like: base.plan, sources))
            } catch {
                omitted.append("\(strategy): \(error.reason)")
            }
        }
    }

    /// What may differ along each axis: the rest of the plan is that of the answer.
    private static let axes: [(dimension: Dimension, columns: [String])] = [
        (.size, ["size_bytes", "spread_bytes", "chunk_bytes"]),
        (.ranges, ["ranges", "spread_bytes"]),
    ]

    private static func figure(
        of strategy: String, _ machines: [MachineRows], like plan: Row, _ sources: [String]
    ) throws(Figures.Omission) -> Figure {
        for (dimension, columns) in axes {
            let tables = machines.map { machine in
                table(machine, strategy, dimension) { row in
                    PlanColumn.varied(in: [row, plan]).allSatisfy {
                        columns.contains($0.column.name)
                    }
                }
            }
            let common = tables.dropFirst().reduce(Set(tables[0].keys)) { $0.intersection($1.keys) }
            guard common.count > 1 else { continue }
            let series = zip(machines, tables).enumerated().map { index, pair in
                Figure.Series(
                    name: pair.0.title, look: look(index), points: Selection.points(pair.1))
            }
            let values = Set(tables.flatMap(\.keys)).sorted()
            return Figure(
                name: "machines-\(dimension == .size ? "size" : "ranges")-\(strategy)",
                kind: .lines,
                title: "Cost of pin and unpin with \(strategy), by machine",
                caption:
                    "Medians over all rounds, with 95 % intervals from six on. A line is a machine.",
                source: machines.map {
                    "\($0.name): \($0.machine.lines.first ?? "unknown"), env \($0.machine.env)"
                }
                .joined(separator: "; ") + "\n" + sources.joined(separator: ", "),
                x: dimension == .size
                    ? .size
                    : Axis(
                        label: "ranges of the scatter-gather list", quantity: .count,
                        scale: .steps(values)),
                y: Axis(
                    label: "pin + unpin, p50 in place", quantity: .nanoseconds, scale: .logarithmic),
                series: series)
        }
        throw Figures.Omission(
            reason: "the machines have no two sizes or numbers of ranges in common")
    }

    private static func table(
        _ machine: MachineRows, _ strategy: String, _ dimension: Dimension,
        _ isWanted: (Row) -> Bool
    ) -> [Double: [Double]] {
        var table: [Double: [Double]] = [:]
        for cell in machine.cells.cells where cell.plan.strategy == strategy && isWanted(cell.plan)
        {
            let values = cell.rounds.compactMap(\.syncNs).filter { $0 > 0 && $0 <= 1e18 }
            if !values.isEmpty { table[dimension.value(cell.plan), default: []] += values }
        }
        return table
    }

    private static func look(_ index: Int) -> Look {
        let colours: [Look.Colour] = [
            .blue, .vermilion, .green, .purple, .orange, .skyBlue, .black,
        ]
        let (shapes, dashes) = (Look.Shape.allCases, [Look.Dash.solid, .long, .mixed])
        return Look(
            colour: colours[index % colours.count],
            dash: dashes[index / colours.count % dashes.count],
            shape: shapes[index % shapes.count])
    }
}
