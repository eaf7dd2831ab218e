import Testing

@testable import DmaStatistics

@Suite struct SampleTests {
    @Test(arguments: [([], nil), ([7], 7), ([3, 1], 2), ([9, -1, 4], 4), ([4, 1, 3, 2], 2.5)])
    func median(_ values: [Double], _ expected: Double?) {
        #expect(Sample(values).median == expected)
    }

    @Test func whatIsNotFiniteWasNotMeasured() {
        let sample = Sample([.nan, 5, .infinity, 1, -.infinity, 3, .signalingNaN])
        #expect(sample.sorted == [1, 3, 5])
        #expect(sample.median == 3)
        #expect(Sample([.nan]).median == nil)
        #expect(
            Sample([Double.greatestFiniteMagnitude, .greatestFiniteMagnitude]).median!.isFinite)
    }

    /// Ranks and coverage by scipy 1.17: the largest k with binom.cdf(k - 1, n, 0.5) <= 0.025, and
    /// 1 - 2 binom.cdf(k - 1, n, 0.5).
    @Test(arguments: [
        (6, 1, 0.96875), (7, 1, 0.984375), (8, 1, 0.9921875), (9, 2, 0.9609375),
        (10, 2, 0.978515625), (11, 2, 0.98828125), (12, 3, 0.96142578125),
        (20, 6, 0.9586105346679688), (50, 18, 0.9671608624357315),
        (100, 40, 0.9647997997822951), (1000, 469, 0.9537088026395019),
    ])
    func ranksOfTheInterval(_ n: Int, _ rank: Int, _ coverage: Double) throws {
        #expect(FairCoin.rank(tosses: n) == rank)
        let actual = 1 - 2 * FairCoin.lowerTails(tosses: n)[rank - 1]
        #expect(abs(actual - coverage) < 1e-10)
        let interval = try #require(Sample((1...n).map { Double($0) }.reversed()).medianInterval)
        #expect(interval == Interval(low: Double(rank), high: Double(n + 1 - rank)))
    }

    @Test(arguments: 0...5) func fewerThanSixTellNothing(_ n: Int) {
        #expect(Sample((0..<n).map { Double($0) }).medianInterval == nil)
    }

    @Test func aTailSumsToOneEvenOfManyTosses() {
        let tails = FairCoin.lowerTails(tosses: 100_001)
        #expect(abs(tails.last! - 0.5) < 1e-6)
    }

    @Test func outliersAreCountedOnBothSides() {
        // Median 10, deviations 1, 0, 1, 2, 0, 2 and 90 twice: their median is 1.5, the fences are
        // 10 +- 7.78.
        #expect(Sample([9, 10, 11, 12, 10, 8, 100, -80]).outlierCount == 2)
        #expect(Sample([9, 10, 11, 12, 10, 8, 17, 3]).outlierCount == 0)
        #expect(Sample([9, 10, 11, 12, 10, 8, 17.8, 3]).outlierCount == 1)
        #expect(Sample([5, 5, 5, 5, 900]).outlierCount == 0)
        #expect(Sample([]).outlierCount == 0)
    }

    @Test func onlyASlowFirstRoundIsNamed() {
        let steady: [Double] = [10, 11, 9, 10, 12, 8, 11]
        #expect(isFirstSlow([50] + steady))
        #expect(!isFirstSlow(steady + [50]))
        #expect(!isFirstSlow([-50] + steady))
        #expect(isFirstSlow([.nan, 50] + steady))
        #expect(!isFirstSlow([]) && !isFirstSlow([3]))
        // A rate that is low is slow.
        #expect(isFirstSlow(([1] + steady).map { -$0 }) && !isFirstSlow([1] + steady))
    }
}
