import DmaReport
import DmaStatistics

/// What a comparison says of one cell.
enum Verdict: Sendable, Equatable {
    case faster
    case slower
    /// Nothing is shown.
    case same
    /// What is known does not rule a regression out.
    case inconclusive
    /// Too few to tell anything: so many on the side that has fewer.
    case tooFew(Int, Unit)
    /// More than twice as many on one side as on the other.
    case uneven

    var text: String {
        switch self {
        case .faster: "faster"
        case .slower: "slower"
        case .same: "~"
        case .inconclusive: "inconclusive"
        case .tooFew(let count, let unit): unit.count(count)
        case .uneven: "uneven sides"
        }
    }
}

/// One cell of two sides in one metric.
public struct CellComparison: Sendable {
    /// The row that stands for the new side's plan.
    let plan: Row
    let metric: Metric
    /// What each value of the sides is of.
    let unit: Unit
    let base: Sample
    let new: Sample
    let ratio: Ratio?
    /// After Holm, over all cells and metrics that are compared.
    private(set) var adjustedP: Double?
    private var comparisons = 1
    private(set) var verdict: Verdict
    /// Whether it is slower by more than the threshold that was asked for.
    public private(set) var isRegression = false

    static let significance = 0.05
    /// So many times as many values on one side as on the other at most: where the sides spread differently, Welch's
    /// test is too eager beyond that.
    static let mostUneven = 2

    /// Of independent runs.
    init(_ base: MeasuredCell, _ new: MeasuredCell, _ metric: Metric) {
        plan = new.plan
        self.metric = metric
        unit = .run
        self.base = Sample(base.runs(metric).map(\.value))
        self.new = Sample(new.runs(metric).map(\.value))
        ratio = Ratio(
            base: self.base, new: self.new, step: metric.step(base.rounds + new.rounds))
        verdict = Self.verdict(self.base.count, self.new.count, unit)
    }

    /// Of what both sides have, so that drift cancels: runs, where there are enough, else the rounds of the run that
    /// has the most. `unit` is what a run is here.
    init(pairing base: MeasuredCell, _ new: MeasuredCell, _ metric: Metric, by unit: Unit) {
        typealias Pair = (base: Double, new: Double)
        plan = new.plan
        self.metric = metric
        let old = Dictionary(base.runs(metric).map { ($0.run, $0.value) }) { first, _ in first }
        var pairs = new.runs(metric).compactMap { run, value in
            old[run].map { Pair($0, value) }
        }
        var chosen = unit
        if unit == .run, pairs.count < unit.fewest {
            chosen = .round
            var rounds: [String: [Pair]] = [:]
            var values: [RoundID: Double] = [:]
            for row in base.rounds { values[row.roundID] = metric.value(row) }
            for row in new.rounds {
                guard let base = values[row.roundID], let new = metric.value(row) else { continue }
                rounds[row.run, default: []].append((base, new))
            }
            // The first of equals, whatever order a dictionary has.
            let most = rounds.values.map(\.count).max()
            let run = new.rounds.first { rounds[$0.run]?.count == most }?.run
            pairs = run.flatMap { rounds[$0] } ?? []
        }
        self.unit = chosen
        self.base = Sample(pairs.map(\.base))
        self.new = Sample(pairs.map(\.new))
        ratio = Ratio(pairs: pairs, step: metric.step(base.rounds + new.rounds))
        verdict = Self.verdict(pairs.count, pairs.count, chosen)
    }

    private static func verdict(_ base: Int, _ new: Int, _ unit: Unit) -> Verdict {
        let (fewer, more) = (min(base, new), max(base, new))
        if fewer < unit.fewest { return .tooFew(fewer, unit) }
        return more > mostUneven * fewer ? .uneven : .same
    }

    /// The smallest difference, as a share, that the spread would have let show among so many comparisons.
    var leastVisible: Double? {
        guard isTested else { return nil }
        return ratio?.leastVisible(significance: Self.significance / Double(comparisons))
    }

    /// Whether there are enough values on both sides for a test.
    var isTested: Bool {
        switch verdict {
        case .tooFew, .uneven: false
        case .faster, .slower, .same, .inconclusive: true
        }
    }

    /// Decides with a p that is adjusted for all comparisons, and the threshold, if there is one.
    mutating func decide(adjustedP: Double, of comparisons: Int, threshold: Double?) {
        guard let ratio else { return }
        self.adjustedP = adjustedP
        self.comparisons = comparisons
        // How many times as slow: of rates the inverse.
        let slowdown = metric.isRate ? 1 / ratio.estimate : ratio.estimate
        if adjustedP < Self.significance, slowdown != 1 {
            verdict = slowdown > 1 ? .slower : .faster
            isRegression = threshold.map { slowdown > 1 + $0 } ?? false
        } else if let threshold, highestSlowdown(ratio) > 1 + threshold {
            verdict = .inconclusive
        } else {
            verdict = .same
        }
    }

    private func highestSlowdown(_ ratio: Ratio) -> Double {
        guard let interval = ratio.interval else { return .infinity }
        return metric.isRate ? 1 / interval.low : interval.high
    }
}
