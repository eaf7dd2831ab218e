import Testing

@testable import Statistics

@Suite struct RankSumTests {
    struct Reference: Sendable {
        let first: [Double]
        let second: [Double]
        let p: Double
    }

    /// scipy 1.17: mannwhitneyu(first, second, method="exact").pvalue. The second is the permeability
    /// of Hollander and Wolfe, table 4.1, for which they and R's wilcox.test have half of it, 0.1272,
    /// one-sided.
    static let exact = [
        Reference(
            first: [1.1, 2.2, 3.3, 4.4, 5.5, 6.6], second: [7.7, 8.8, 9.9, 10.1, 11.2, 12.3],
            p: 0.0021645021645021645),
        Reference(
            first: [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46],
            second: [1.15, 0.88, 0.90, 0.74, 1.21], p: 0.2544122544122544),
        Reference(first: [19, 22, 16, 29, 24], second: [20, 11, 17, 12], p: 0.1111111111111111),
        Reference(
            first: (1...30).map { Double($0) }, second: (1...30).map { Double($0) + 4.5 },
            p: 0.0653991147132789),
        Reference(first: [1, 4], second: [2, 3], p: 1),
    ]

    /// The same with method="asymptotic", which has a continuity correction.
    static let normal = [
        Reference(
            first: [1, 2, 2, 3, 3, 3, 4, 5, 6, 7], second: [3, 4, 4, 5, 6, 7, 7, 8, 9, 9],
            p: 0.014718562753240261),
        Reference(
            first: (1...40).map { Double($0) }, second: (1...40).map { Double($0) + 5.5 },
            p: 0.049090804709638),
        Reference(
            first: [Double](repeating: 5, count: 7), second: [Double](repeating: 5, count: 7), p: 1),
    ]

    @Test(arguments: exact + normal) func asScipySays(_ reference: Reference) throws {
        let (first, second) = (Sample(reference.first), Sample(reference.second))
        #expect(abs(try #require(RankSum(first, second)).p - reference.p) < 1e-12)
        #expect(abs(try #require(RankSum(second, first)).p - reference.p) < 1e-12)
    }

    @Test func pairsWithALargerSecondAreCounted() throws {
        #expect(try #require(RankSum(Sample([1, 2, 3]), Sample([4, 5]))).u == 6)
        #expect(try #require(RankSum(Sample([4, 5]), Sample([1, 2, 3]))).u == 0)
        #expect(try #require(RankSum(Sample([1, 2, 3]), Sample([2]))).u == 1.5)
    }

    @Test func nothingIsNotCompared() {
        #expect(RankSum(Sample([]), Sample([1])) == nil)
        #expect(RankSum(Sample([1]), Sample([.nan])) == nil)
    }

    /// Against all arrangements, one by one.
    @Test func exactDistributionIsThatOfAllArrangements() {
        for m in 1...5 {
            for n in 1...5 {
                var ways = [Int](repeating: 0, count: m * n + 1)
                for set in 0..<1 << (m + n) where set.nonzeroBitCount == n {
                    let second = (0..<m + n).filter { set & 1 << $0 != 0 }
                    ways[second.reduce(0, +) - n * (n - 1) / 2] += 1
                }
                let all = Double(ways.reduce(0, +))
                let tails = ways.indices.map { Double(ways[...$0].reduce(0, +)) / all }
                #expect(RankSum.lowerTails(m, n) == tails, "\(m), \(n)")
            }
        }
        #expect(RankSum.lowerTails(30, 30).last == 1)
    }

    /// The largest k with P(U < k) <= 2.5 %, counted with the recurrence of Mann and Whitney 1947;
    /// published tables of U (two-sided, 5 %) have k - 1: none, 0, 5, 8, 23, 127.
    @Test(arguments: [
        (3, 3, 0), (4, 4, 1), (6, 6, 6), (5, 10, 9), (10, 10, 24), (20, 20, 128), (30, 30, 318),
        (0, 9, 0), (1, 9, 0),
    ])
    func criticalRanks(_ m: Int, _ n: Int, _ rank: Int) {
        #expect(RankSum.rank(m, n) == rank)
        #expect(RankSum.rank(n, m) == rank)
    }

    /// The exact one is 597.
    @Test func largeSamplesHaveTheNormalRank() { #expect(RankSum.rank(40, 40) == 596) }
}
