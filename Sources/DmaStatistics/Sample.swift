/// Values that were measured, in order of size. What is not a finite number was not measured.
public struct Sample: Sendable {
    public let sorted: [Double]

    public init(_ values: some Sequence<Double>) {
        sorted = values.filter(\.isFinite).sorted()
    }

    public var count: Int { sorted.count }

    /// The middle value, or the mean of the middle two; nil of nothing.
    public var median: Double? {
        guard !sorted.isEmpty else { return nil }
        let middle = count / 2
        return count % 2 == 1 ? sorted[middle] : sorted[middle - 1] / 2 + sorted[middle] / 2
    }

    /// Where the median of the distribution lies, with a confidence of 95 % or more; nil of fewer
    /// than six values, which cannot tell.
    ///
    /// From the k-th smallest to the k-th largest value, with the largest k for which
    /// P(B < k) <= 2.5 %, B binomial of n trials at 1/2. The interval covers the median with a
    /// probability of 1 - 2 P(B < k), whatever the distribution, and of more where values repeat
    /// (Conover, Practical Nonparametric Statistics, 3rd ed., section 3.2; Le Boudec, Performance
    /// Evaluation, 2010, section 2.2). Of ten values it is from the second to the ninth, 97.9 %.
    public var medianInterval: Interval? {
        let rank = FairCoin.rank(tosses: count)
        guard rank > 0 else { return nil }
        return Interval(low: sorted[rank - 1], high: sorted[count - rank])
    }

    /// How many values are outliers; they are counted, never dropped.
    public var outlierCount: Int {
        guard let fences else { return 0 }
        return sorted.count { $0 < fences.low || $0 > fences.high }
    }

    /// What is beyond is an outlier: its modified z-score 0.6745 (x - median) / MAD is beyond 3.5 on
    /// either side, MAD being the median absolute deviation (Iglewicz and Hoaglin, How to Detect and
    /// Handle Outliers, ASQC 1993).
    ///
    /// Nil where more than half of the values are equal: there is no scale then.
    var fences: Interval? {
        guard let median, let deviation = Sample(sorted.map { abs($0 - median) }).median,
            deviation > 0
        else { return nil }
        let distance = 3.5 / 0.6745 * deviation
        return Interval(low: median - distance, high: median + distance)
    }
}

/// Whether the first of some times, in the order in which they were measured, is an outlier on the
/// slow side: what was measured first was not warm. Of rates, pass the negative ones.
public func isFirstSlow(_ times: [Double]) -> Bool {
    guard let first = times.first(where: \.isFinite), let fences = Sample(times).fences else {
        return false
    }
    return first > fences.high
}

/// A closed interval.
public struct Interval: Sendable, Equatable {
    public let low: Double
    public let high: Double

    public init(low: Double, high: Double) {
        self.low = low
        self.high = high
    }
}
