import DmaReport
import DmaStatistics

/// The cells of several machines side by side: what each costs on each machine, and how many times as much as the
/// baseline costs on the same one. A time of one machine is never divided by one of another.
struct MachineComparison: Sendable {
    /// A cell of one machine.
    struct Value: Sendable {
        /// A median over runs, each with the median over its rounds.
        let median: Double?
        /// Against the baseline in the same place of the plan on the same machine, run by run; nil of the baseline, and
        /// where it has none there.
        fileprivate(set) var comparison: CellComparison?

        /// How many times as much the baseline costs.
        var factor: Double? {
            guard let ratio = comparison?.ratio?.estimate, ratio > 0, ratio.isFinite else {
                return nil
            }
            return 1 / ratio
        }

        /// Whether enough runs say so: rounds of one run say nothing of the next.
        var isByRuns: Bool { comparison.map { $0.unit == .run && $0.isTested } ?? false }
    }

    /// A cell of the plan on all machines.
    struct Line: Sendable {
        /// Strategy and plan as text: the same in every comparison.
        let key: [String]
        let plan: Row
        /// By machine; nil where a machine has not measured it.
        fileprivate(set) var values: [Value?]
    }

    let baseline: String
    let cost: ComparedCost
    let metric: Metric
    private(set) var lines: [Line] = []

    /// Nil where no strategy has this cost on every machine.
    init?(_ machines: [MachineRows], of cost: ComparedCost) {
        let metric = cost.metric
        let measured = machines.map { machine in
            machine.cells.cells.filter { $0.rounds.contains { cost.value($0) != nil } }
        }
        guard let baseline = Self.baseline(measured) else { return nil }
        (self.baseline, self.cost, self.metric) = (baseline, cost, metric)
        var places: [[String]: Int] = [:]
        for (index, cells) in measured.enumerated() {
            for cell in cells {
                let place = places[cell.key] ?? lines.count
                if place == lines.count {
                    places[cell.key] = place
                    lines.append(
                        Line(key: cell.key, plan: cell.plan, values: machines.map { _ in nil }))
                }
                let runs = cell.runs(metric).map(\.value)
                lines[place].values[index] = Value(median: Sample(runs).median)
            }
            let pairs = CellPairs(
                base: cells.filter { $0.plan.strategy == baseline },
                new: cells.filter { $0.plan.strategy != baseline }, free: CellPairs.strategy)
            for (base, new) in pairs.pairs {
                guard let place = places[new.key] else { continue }
                lines[place].values[index]?.comparison = CellComparison(
                    pairing: base, new, metric, by: .run)
            }
        }
        decide()
    }

    /// The strategy that does what the question asks about, else the first that every machine has.
    private static func baseline(_ machines: [[MeasuredCell]]) -> String? {
        let names = machines.map { Set($0.map(\.plan.strategy)) }
        let common = (machines.first ?? []).map(\.plan.strategy)
            .filter { name in names.allSatisfy { $0.contains(name) } }
        return common.first { $0 == SummaryAnswer.baseline } ?? common.first
    }

    /// One family: every cell of every machine.
    private mutating func decide() {
        let tested = lines.indices.flatMap { line in
            lines[line].values.indices.map { (line: line, machine: $0) }
        }.filter { lines[$0.line].values[$0.machine]?.comparison?.isTested ?? false }
        let p = holm(
            tested.map { lines[$0.line].values[$0.machine]?.comparison?.ratio?.p ?? 1 })
        for (place, p) in zip(tested, p) {
            lines[place.line].values[place.machine]?.comparison?.decide(
                adjustedP: p, of: tested.count, threshold: nil)
        }
    }
}
