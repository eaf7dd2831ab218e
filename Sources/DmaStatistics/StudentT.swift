import Glibc

/// Student's t distribution (Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7).
struct StudentT {
    /// Above zero, and not always whole.
    let degrees: Double

    /// How probable a t at least so far from zero is, on either side: I_x(degrees / 2, 1 / 2) at
    /// x = degrees / (degrees + t^2) (26.7.1 and 26.5.27).
    func twoSided(_ t: Double) -> Double {
        let square = t * t
        guard square.isFinite else { return 0 }
        let sum = degrees + square
        return regularizedBeta(
            degrees / 2, 0.5, at: degrees / sum, complement: square / sum)
    }

    /// The t for which `twoSided` is `p`, which is above 0 and below 1.
    ///
    /// Between two powers of two, and there by bisection.
    func critical(_ p: Double) -> Double {
        var high = 1.0
        while twoSided(high) > p { high *= 2 }
        var low = high == 1 ? 0 : high / 2
        while high - low > 1e-13 * high {
            let middle = (low + high) / 2
            if twoSided(middle) > p { low = middle } else { high = middle }
        }
        return high
    }
}

/// The regularized incomplete beta function I_x(a, b), by its continued fraction (NIST Digital Library of
/// Mathematical Functions, 8.17.22) after the method of Lentz (Press et al., Numerical Recipes, 3rd ed.,
/// sections 5.2 and 6.4). `complement` is 1 - x, which the caller knows without rounding.
func regularizedBeta(_ a: Double, _ b: Double, at x: Double, complement: Double) -> Double {
    guard x > 0 else { return 0 }
    guard complement > 0 else { return 1 }
    // The fraction converges fast on this side of the mean; on the other by symmetry (8.17.4).
    guard x <= (a + 1) / (a + b + 2) else {
        return 1 - regularizedBeta(b, a, at: complement, complement: x)
    }
    let logarithm =
        lgamma(a + b).0 - lgamma(a).0 - lgamma(b).0 + a * log(x) + b * log(complement)
    return min(1, exp(logarithm) / a * betaFraction(a, b, x))
}

private func betaFraction(_ a: Double, _ b: Double, _ x: Double) -> Double {
    func nonzero(_ value: Double) -> Double { abs(value) < 1e-300 ? 1e-300 : value }
    var c = 1.0
    var d = 1 / nonzero(1 - (a + b) * x / (a + 1))
    var fraction = d
    var m = 0.0
    while m < 10_000 {
        m += 1
        let even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / nonzero(1 + even * d)
        c = nonzero(1 + even / c)
        fraction *= d * c
        let odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 / nonzero(1 + odd * d)
        c = nonzero(1 + odd / c)
        fraction *= d * c
        if abs(d * c - 1) < 1e-15 { break }
    }
    return fraction
}
