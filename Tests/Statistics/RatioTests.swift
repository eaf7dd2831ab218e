import Testing

@testable import Statistics

@Suite struct RatioTests {
    /// Permeability, Hollander and Wolfe, table 4.1.
    static let base: [Double] = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
    static let new: [Double] = [1.15, 0.88, 0.90, 0.74, 1.21]

    /// numpy: the median of all 50 quotients, and the 9th from either end.
    @Test func ofIndependentSamples() throws {
        let ratio = try #require(Ratio(base: Sample(Self.base), new: Sample(Self.new)))
        #expect(abs(ratio.median - 0.7627380554627463) < 1e-15)
        #expect(ratio.interval == Interval(low: 0.5103448275862069, high: 1.1634615384615383))
        #expect(abs(ratio.p - 0.2544122544122544) < 1e-12)
    }

    /// The bisection against the list of all quotients.
    @Test func everyOrderStatisticOfTheQuotients() throws {
        var random = SplitMix64(seed: 4)
        for _ in 0..<50 {
            let base = (0..<Int.random(in: 1...9, using: &random)).map { _ in
                Double(Int.random(in: 0...6, using: &random)) / 4
            }
            let new = (0..<Int.random(in: 1...9, using: &random)).map { _ in
                Double(Int.random(in: 0...6, using: &random)) / 3
            }
            let all = base.flatMap { b in new.map { Ratio.quotient($0, b) } }.sorted()
            let ratio = try #require(Ratio(base: Sample(base), new: Sample(new)))
            let (upper, lower) = (all[all.count / 2], all[(all.count - 1) / 2])
            #expect(ratio.median == lower / 2 + upper / 2)
            let rank = RankSum.rank(base.count, new.count)
            if rank > 0 {
                #expect(
                    ratio.interval == Interval(low: all[rank - 1], high: all[all.count - rank]))
            } else {
                #expect(ratio.interval == nil)
            }
        }
    }

    /// Sixteen million quotients.
    @Test func ofLargeSamples() throws {
        let base = (1...4000).map { 1 + Double($0) / 1e5 }
        let ratio = try #require(Ratio(base: Sample(base), new: Sample(base.map { $0 * 2 })))
        #expect(abs(ratio.median - 2) < 1e-12)
        #expect(ratio.p < 1e-300)
    }

    @Test func ofPairs() throws {
        let drift: [Double] = [1, 5, 2, 9, 3, 7, 4, 8, 6, 10]
        let factors = [1.1, 1.2, 1.05, 1.15, 0.99, 1.3, 1.12, 1.08, 1.11, 1.09]
        let pairs = zip(drift, factors).map { (base: $0, new: $0 * $1) }
        let ratio = try #require(Ratio(pairs: pairs))
        #expect(abs(ratio.median - 1.105) < 1e-12)
        let interval = try #require(ratio.interval)
        #expect(abs(interval.low - 1.05) < 1e-12 && abs(interval.high - 1.2) < 1e-12)
        // scipy 1.17: twice binomtest(1, 10).pvalue
        #expect(abs(ratio.p - 2 * 0.021484375) < 1e-12)
        // The same numbers as if they were not pairs: the drift hides all.
        let unpaired = try #require(Ratio(base: Sample(drift), new: Sample(pairs.map(\.new))))
        #expect(unpaired.p > 0.5)
    }

    /// scipy 1.17: binomtest(k, n).pvalue
    @Test(arguments: [
        (0, 6, 0.03125), (5, 10, 1), (2, 12, 0.03857421875), (40, 100, 0.05688793364),
    ])
    func signs(_ below: Int, _ count: Int, _ p: Double) throws {
        // Drift so large that ranks show nothing; equal pairs say nothing.
        let signs = (0..<count).map { round in
            let drift = Double(1 << (round % 60))
            return (base: drift, new: drift * (round < below ? 0.9 : 1.1))
        }
        let ratio = try #require(Ratio(pairs: signs + [(base: 3, new: 3), (base: 0, new: 0)]))
        #expect(abs(ratio.p - min(1, 2 * p)) < 1e-10)
    }

    /// Ten of ten is a p of 0.002 to the sign test, however large the difference.
    @Test func aLargeDifferenceOfPairsIsSeenByRanks() throws {
        let pairs = (1...10).map { (base: Double($0) + 100, new: Double($0) + 200) }
        let ratio = try #require(Ratio(pairs: pairs))
        #expect(abs(ratio.p - 2 * 1.082508822446903e-05) < 1e-12)
        #expect(ratio.p == ratio.leastP)
    }

    @Test func nothingToNothingIsOne() throws {
        let zeros = Sample([Double](repeating: 0, count: 8))
        let ones = Sample((1...8).map { Double($0) })
        let equal = try #require(Ratio(base: zeros, new: zeros))
        #expect(equal.median == 1 && equal.interval == Interval(low: 1, high: 1) && equal.p == 1)
        let grown = try #require(Ratio(base: zeros, new: ones))
        #expect(grown.median == .infinity && grown.interval?.low == .infinity && grown.p < 0.001)
        let gone = try #require(Ratio(base: ones, new: zeros))
        #expect(gone.median == 0 && gone.interval?.high == 0 && gone.p < 0.001)
    }

    @Test func nothingIsNotCompared() {
        #expect(Ratio(base: Sample([]), new: Sample([1])) == nil)
        #expect(Ratio(base: Sample([1]), new: Sample([])) == nil)
        #expect(Ratio(pairs: []) == nil)
        #expect(Ratio(base: Sample([1]), new: Sample([2]))?.interval == nil)
        #expect(Ratio(pairs: [(base: 1, new: 2)])?.interval == nil)
    }
}
