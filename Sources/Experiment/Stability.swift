import DmaStatistics

/// How well the medians of a run are known as its rounds come in.
public struct Stability: Sendable {
    /// Of fewer values nobody can tell where the median lies: `Sample.medianInterval`.
    public static let leastRounds = 6

    private var figures: [Plan.Turn: Double] = [:]

    public init() {}

    /// Takes what a turn measured.
    public mutating func note(_ turn: Plan.Turn, _ figure: Double) { figures[turn] = figure }

    /// The cell whose median is known worst after the first `rounds` rounds, and how far from it the 95 % interval
    /// reaches, as a share of the median; nil where no cell has figures.
    public func worst(of cells: [Cell], rounds: Int) -> (cell: Cell, spread: Double)? {
        var worst: (cell: Cell, spread: Double)?
        for cell in cells {
            let values = (1...rounds).compactMap { figures[Plan.Turn(cell, round: $0)] }
            guard !values.isEmpty else { continue }
            let spread = Self.spread(Sample(values))
            if worst == nil || spread > worst!.spread { worst = (cell, spread) }
        }
        return worst
    }

    private static func spread(_ sample: Sample) -> Double {
        guard let interval = sample.medianInterval, let median = sample.median else {
            return .infinity
        }
        let reach = max(median - interval.low, interval.high - median)
        return reach == 0 ? 0 : reach / median
    }
}
