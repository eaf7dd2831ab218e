import Glibc

/// The Mann-Whitney U test: whether values of one sample tend to be larger than those of another,
/// independent one (Hollander, Wolfe and Chicken, Nonparametric Statistical Methods, 3rd ed.,
/// section 4.1).
public struct RankSum: Sendable {
    /// Pairs in which the second sample's value is the larger one; a tie counts a half.
    let u: Double
    /// Two-sided: how probable so uneven a U is where both samples come from one distribution.
    public let p: Double
    /// The least p without ties; zero of larger samples.
    let leastP: Double

    /// Larger samples have the normal approximation: with 31 the coefficients may overflow.
    static let exactLimit = 30

    /// Nil where a sample is empty.
    public init?(_ first: Sample, _ second: Sample) {
        guard first.count > 0, second.count > 0 else { return nil }
        let (m, n) = (Double(first.count), Double(second.count))
        let ranks = Self.ranks(first.sorted, second.sorted)
        u = ranks.sumOfSecond - n * (n + 1) / 2
        let distance = abs(u - m * n / 2)
        let tails =
            max(first.count, second.count) <= Self.exactLimit
            ? Self.lowerTails(first.count, second.count) : nil
        leastP = tails.map { min(1, 2 * $0[0]) } ?? 0
        if let tails, ranks.ties == 0 {
            p = min(1, 2 * tails[Int(m * n / 2 - distance)])
        } else {
            let total = m + n
            let variance = m * n / 12 * (total + 1 - ranks.ties / (total * (total - 1)))
            // A half of continuity correction. Where all values are equal nothing is uneven.
            let z = max(0, distance - 0.5) / variance.squareRoot()
            p = variance > 0 ? erfc(z / 2.0.squareRoot()) : 1
        }
    }

    /// The sum of the ranks of the second sample, ties sharing the mean of theirs, and the sum of
    /// t^3 - t over all groups of t tied values.
    private static func ranks(
        _ first: [Double], _ second: [Double]
    ) -> (sumOfSecond: Double, ties: Double) {
        var (sum, ties) = (0.0, 0.0)
        var (i, j) = (0, 0)
        while i < first.count || j < second.count {
            let value = min(
                i < first.count ? first[i] : .infinity, j < second.count ? second[j] : .infinity)
            let before = i + j
            while i < first.count, first[i] == value { i += 1 }
            let own = j
            while j < second.count, second[j] == value { j += 1 }
            let tied = Double(i + j - before)
            sum += Double(j - own) * (Double(before) + (tied + 1) / 2)
            ties += tied * tied * tied - tied
        }
        return (sum, ties)
    }

    /// P(U <= 0), P(U <= 1) and so on, without ties.
    ///
    /// The number of arrangements with each U is a coefficient of the Gaussian binomial of m + n
    /// over m, the product of (1 - q^(n + i)) / (1 - q^i) for i from 1 to m (Andrews, The Theory
    /// of Partitions, chapter 3). After each i the coefficients are whole numbers.
    static func lowerTails(_ m: Int, _ n: Int) -> [Double] {
        var ways = [Int](repeating: 0, count: m * n + 1)
        ways[0] = 1
        for i in 1...m {
            for u in stride(from: m * n, through: n + i, by: -1) { ways[u] -= ways[u - n - i] }
            for u in stride(from: i, through: m * n, by: 1) { ways[u] += ways[u - i] }
        }
        let all = Double(ways.reduce(0, +))
        var sum = 0
        return ways.map { count in
            sum += count
            return Double(sum) / all
        }
    }

    /// The largest k with P(U < k) <= 2.5 % without ties, zero where there is none: from the k-th
    /// smallest to the k-th largest of all pairwise differences is a 95 % confidence interval of
    /// the shift between two distributions (Hollander, Wolfe and Chicken, section 4.3), and of more
    /// where values repeat.
    static func rank(_ m: Int, _ n: Int) -> Int {
        guard m > 0, n > 0 else { return 0 }
        if max(m, n) <= exactLimit {
            return lowerTails(m, n).prefix { $0 <= 0.025 }.count
        }
        let mean = Double(m) * Double(n) / 2
        let deviation = (mean * Double(m + n + 1) / 6).squareRoot()
        return max(0, Int(mean + 0.5 - 1.959964 * deviation))
    }
}
