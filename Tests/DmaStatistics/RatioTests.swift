import Testing

@testable import DmaStatistics

@Suite struct RatioTests {
    private func ratio(_ base: [Double], _ new: [Double], step: Double? = nil) throws -> Ratio {
        try #require(Ratio(base: Sample(base), new: Sample(new), step: step))
    }

    /// scipy 1.17: ttest_ind of the logarithms, equal_var=False, and its confidence_interval.
    @Test func ofIndependentValues() throws {
        let ratio = try ratio([1.1, 1.2, 1.15, 1.3], [1.25, 1.4, 1.33, 1.5, 1.41])
        #expect(abs(ratio.estimate - 1.1604761820738103) < 1e-12)
        #expect(abs(try #require(ratio.p) - 0.017499696105175492) < 1e-12)
        let interval = try #require(ratio.interval)
        #expect(abs(interval.low - 1.03656714) < 1e-8 && abs(interval.high - 1.29919705) < 1e-8)
    }

    /// scipy 1.17: ttest_1samp of the logarithms of the factors.
    @Test func ofPairs() throws {
        let drift: [Double] = [1, 5, 2, 9, 3, 7, 4, 8, 6, 10]
        let factors = [1.1, 1.2, 1.05, 1.15, 0.99, 1.3, 1.12, 1.08, 1.11, 1.09]
        let pairs = zip(drift, factors).map { (base: $0, new: $0 * $1) }
        let ratio = try #require(Ratio(pairs: pairs))
        #expect(abs(ratio.estimate - 1.1162027476461378) < 1e-12)
        #expect(abs(try #require(ratio.p) - 0.0011329880601106022) < 1e-12)
        let interval = try #require(ratio.interval)
        #expect(abs(interval.low - 1.05858153) < 1e-8 && abs(interval.high - 1.17696043) < 1e-8)
        // The same numbers as if they were not pairs: the drift hides all.
        #expect(try #require(self.ratio(drift, pairs.map(\.new)).p) > 0.5)
    }

    /// Four values that happen to agree to a hundredth of a per cent prove no difference of as much.
    @Test func underTheSpreadLiesAFloor() throws {
        let base = [100, 100.001, 99.999, 100]
        #expect(try #require(ratio(base, base.map { $0 * 1.001 }).p) > 0.5)
        #expect(try #require(ratio(base, base.map { $0 * 1.02 }).p) < 0.01)
        let pairs = base.map { (base: $0, new: $0 * 1.001) }
        #expect(try #require(Ratio(pairs: pairs)?.p) > 0.5)
    }

    /// A clock that advances by 10 ns: 90 and 100 ns may be one time.
    @Test func halfAStepIsNoDifference() throws {
        let (base, new) = ([90.0, 90, 90, 90], [100.0, 100, 100, 100])
        #expect(try #require(ratio(base, new).p) < 1e-6)
        #expect(try #require(ratio(base, new, step: 10).p) > 0.01)
        let pairs = zip(base, new).map { (base: $0, new: $1) }
        #expect(try #require(Ratio(pairs: pairs, step: 10)?.p) > 0.01)
        #expect(try #require(ratio(base, [900, 900, 900, 900], step: 10).p) < 0.001)
    }

    /// What it says it could have shown has just that p.
    @Test func theLeastVisibleDifferenceIsOne() throws {
        let base = [100.0, 103, 98, 101]
        let least = try #require(ratio(base, base).leastVisible(significance: 0.01))
        let shown = try ratio(base, base.map { $0 * (1 + least) })
        #expect(abs(try #require(shown.p) - 0.01) < 1e-9)
        #expect(Ratio(pairs: [(base: 1, new: 2)])?.leastVisible(significance: 0.05) == nil)
    }

    // MARK: Zeros

    @Test func nothingToNothingIsOne() throws {
        let zeros = [Double](repeating: 0, count: 8)
        for step in [nil, 1] as [Double?] {
            let equal = try ratio(zeros, zeros, step: step)
            #expect(equal.estimate == 1 && equal.interval == Interval(low: 1, high: 1))
            #expect(equal.p == 1)
        }
    }

    @Test func nothingToSomethingIsInfinite() throws {
        let (zeros, times) = ([Double](repeating: 0, count: 6), (1...6).map { 100 + Double($0) })
        let grown = try ratio(zeros, times)
        #expect(grown.estimate == .infinity && grown.interval == nil)
        #expect(try #require(grown.p) < 0.001)
        let gone = try ratio(times, zeros)
        #expect(gone.estimate == 0 && gone.interval == nil)
        #expect(try #require(gone.p) < 0.001)
    }

    /// Of counts, whose step is one, a single event in each run proves nothing; hundreds do.
    @Test func aSingleEventIsNone() throws {
        let zeros = [0.0, 0, 0, 0]
        #expect(try #require(ratio(zeros, [1, 1, 1, 1], step: 1).p) > 0.2)
        #expect(try #require(ratio(zeros, [300, 310, 290, 305], step: 1).p) < 0.01)
    }

    /// Half of the least value that was seen.
    @Test func aZeroAmongOthersIsLessThanWhatWasSeen() throws {
        let ratio = try ratio([0, 4, 4, 4], [4, 4, 4, 4])
        #expect(abs(ratio.estimate - 1.189207115) < 1e-9)
        #expect(try #require(ratio.p) > 0.3)
    }

    // MARK: Too few

    @Test func nothingIsNotCompared() throws {
        #expect(Ratio(base: Sample([]), new: Sample([1])) == nil)
        #expect(Ratio(base: Sample([1]), new: Sample([])) == nil)
        #expect(Ratio(pairs: []) == nil)
    }

    @Test func ofOneValueNothingIsSure() throws {
        for ratio in [try ratio([1, 1.1], [2]), try #require(Ratio(pairs: [(base: 1, new: 2)]))] {
            #expect(ratio.estimate > 1.9 && ratio.interval == nil && ratio.p == nil)
        }
    }
}
