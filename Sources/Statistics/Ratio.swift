/// How many times as large new values are as base values of the same quantity, which is never
/// negative.
public struct Ratio: Sendable {
    /// The median of the ratios; infinite where most are of something to nothing.
    public let median: Double
    /// A confidence interval of 95 % or more; nil of too few values.
    public let interval: Interval?
    /// Two-sided: how probable so uneven ratios are where nothing differs.
    public let p: Double
    /// The least p that so many values without ties can have; zero where that is next to nothing.
    public let leastP: Double

    /// Of measurements in pairs, such as the same round of a run: what disturbs both cancels.
    ///
    /// The median of the ratios pair by pair, and `Sample.medianInterval`'s order statistics. The p is
    /// twice the smaller one of two: the sign test's, which leaves out ratios of exactly one and sees
    /// a small difference through large drift (Conover, Practical Nonparametric Statistics, 3rd ed.,
    /// section 3.4), and `RankSum`'s, which can see a large one among many comparisons in few pairs
    /// and is only too cautious where pairs go together. Doubling makes it safe to choose (Bonferroni).
    /// Nil without pairs.
    public init?(pairs: [(base: Double, new: Double)]) {
        let ratios = pairs.map { Self.quotient($0.new, $0.base) }.sorted()
        guard let ranks = RankSum(Sample(pairs.map(\.base)), Sample(pairs.map(\.new))) else {
            return nil
        }
        median = Self.middle(count: ratios.count) { ratios[$0] }
        let rank = FairCoin.rank(tosses: ratios.count)
        interval =
            rank > 0 ? Interval(low: ratios[rank - 1], high: ratios[ratios.count - rank]) : nil
        let (below, above) = (ratios.count { $0 < 1 }, ratios.count { $0 > 1 })
        let sign = 2 * FairCoin.lowerTails(tosses: below + above)[min(below, above)]
        p = min(1, 2 * min(sign, ranks.p))
        leastP = min(1, 2 * min(2 * FairCoin.lowerTails(tosses: ratios.count)[0], ranks.leastP))
    }

    /// Of independent samples, such as two runs.
    ///
    /// The median of the ratios of every new value to every base value, its interval from the
    /// Mann-Whitney test, and that test's p: the estimator of Hodges and Lehmann (Hollander, Wolfe
    /// and Chicken, Nonparametric Statistical Methods, 3rd ed., sections 4.2 and 4.3), of quotients,
    /// which are ordered as the differences of logarithms are. It assumes that the distributions
    /// differ by a factor alone. Nil where a sample is empty.
    public init?(base: Sample, new: Sample) {
        guard let test = RankSum(base, new) else { return nil }
        let count = base.count * new.count
        let quotients = Quotients(base: base.sorted, new: new.sorted)
        median = Self.middle(count: count) { quotients.smallest($0) }
        let rank = RankSum.rank(base.count, new.count)
        interval =
            rank > 0
            ? Interval(low: quotients.smallest(rank - 1), high: quotients.smallest(count - rank))
            : nil
        p = test.p
        leastP = test.leastP
    }

    /// Nothing to nothing is one.
    static func quotient(_ new: Double, _ base: Double) -> Double {
        new == base ? 1 : new / base
    }

    private static func middle(count: Int, _ ordered: (Int) -> Double) -> Double {
        let upper = ordered(count / 2)
        return count % 2 == 1 ? upper : ordered(count / 2 - 1) / 2 + upper / 2
    }
}

/// All quotients of two sorted samples, in order, without a list of them: there may be billions.
private struct Quotients {
    let base: [Double]
    let new: [Double]

    /// The quotient with so many before it in order of size.
    ///
    /// Numbers of at least zero are in the order of their bit patterns, so that bisection of the
    /// patterns finds it in 64 steps.
    func smallest(_ index: Int) -> Double {
        var (low, high) = (UInt64(0), Double.infinity.bitPattern)
        while low < high {
            let middle = low + (high - low) / 2
            if count(upTo: Double(bitPattern: middle)) > index {
                high = middle
            } else {
                low = middle + 1
            }
        }
        return Double(bitPattern: low)
    }

    /// The larger the base value, the more new values have a quotient within the limit.
    private func count(upTo limit: Double) -> Int {
        var (count, within) = (0, 0)
        for value in base {
            while within < new.count, Ratio.quotient(new[within], value) <= limit { within += 1 }
            count += within
        }
        return count
    }
}
