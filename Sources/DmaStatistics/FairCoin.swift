import Glibc

/// The number B of heads in tosses of a fair coin: the distribution behind medians and signs.
enum FairCoin {
    /// P(B <= 0), P(B <= 1) and so on, as far as half of the tosses.
    static func lowerTails(tosses: Int) -> [Double] {
        var tails: [Double] = []
        var sum = 0.0
        // As a logarithm, since 2^-tosses may be smaller than any number.
        var term = -Double(tosses) * log(2)
        for heads in 0...tosses / 2 {
            sum += exp(term)
            tails.append(min(1, sum))
            term += log(Double(tosses - heads) / Double(heads + 1))
        }
        return tails
    }

    /// The largest k with P(B < k) <= 2.5 %, zero where there is none.
    static func rank(tosses: Int) -> Int {
        lowerTails(tosses: tosses).prefix { $0 <= 0.025 }.count
    }
}
