import Report
import Statistics

/// What a comparison says of one cell.
public enum Verdict: String, Sendable {
    case faster
    case slower
    /// Nothing is shown.
    case same = "~"
    /// Too few rounds to show anything, or an interval that goes beyond the threshold.
    case inconclusive
}

/// One cell of two sides in one metric.
public struct CellComparison: Sendable {
    /// The row that stands for the new side's plan.
    let plan: Row
    let metric: Metric
    let base: Sample
    let new: Sample
    let ratio: Ratio?
    /// After Holm, over all cells and metrics that are compared.
    private(set) var adjustedP: Double?
    private(set) var verdict = Verdict.inconclusive
    /// Whether it is slower by more than the threshold that was asked for.
    public private(set) var isRegression = false

    static let significance = 0.05
    static let fewestRounds = 6

    /// Of the rounds that both sides have: of one run, where drift cancels.
    init(pairing base: MeasuredCell, _ new: MeasuredCell, _ metric: Metric) {
        var values: [RoundID: Double] = [:]
        for row in base.rounds { values[row.roundID] = metric.value(row) }
        let pairs = new.rounds.compactMap { row -> (base: Double, new: Double)? in
            guard let base = values[row.roundID], let new = metric.value(row) else { return nil }
            return (base, new)
        }
        plan = new.plan
        self.metric = metric
        self.base = Sample(pairs.map(\.base))
        self.new = Sample(pairs.map(\.new))
        ratio = Ratio(pairs: pairs)
    }

    /// Of independent rounds.
    init(_ base: MeasuredCell, _ new: MeasuredCell, _ metric: Metric) {
        plan = new.plan
        self.metric = metric
        self.base = Sample(base.rounds.compactMap(metric.value))
        self.new = Sample(new.rounds.compactMap(metric.value))
        ratio = Ratio(base: self.base, new: self.new)
    }

    /// Whether there are enough rounds on both sides for a test.
    var isTested: Bool { min(base.count, new.count) >= Self.fewestRounds }

    /// Decides with a p that is adjusted for all comparisons, and the threshold, if there is one.
    mutating func decide(adjustedP: Double, of comparisons: Int, threshold: Double?) {
        guard let ratio, let interval = ratio.interval else { return }
        self.adjustedP = adjustedP
        // How many times as slow: of rates the inverse.
        let slowdown = metric.isRate ? 1 / ratio.median : ratio.median
        let highest = metric.isRate ? 1 / interval.low : interval.high
        if adjustedP < Self.significance, slowdown != 1 {
            verdict = slowdown > 1 ? .slower : .faster
            isRegression = threshold.map { slowdown > 1 + $0 } ?? false
        } else if let threshold {
            verdict = highest > 1 + threshold ? .inconclusive : .same
        } else {
            let canShow = ratio.leastP * Double(comparisons) < Self.significance
            verdict = canShow ? .same : .inconclusive
        }
    }
}
