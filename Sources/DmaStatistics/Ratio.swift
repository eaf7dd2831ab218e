import Glibc

/// How many times as large new values are as base values of the same quantity, which is never
/// negative: t tests on logarithms.
///
/// Times of computers are skewed, and what disturbs them multiplies, so that the logarithms are nearer to the
/// normal distribution than the times (Le Boudec, Performance Evaluation, 2010, section 2.3). A difference of means
/// of logarithms is the logarithm of a ratio of geometric means.
///
/// A few values may lie closer together by chance than what they measure repeats. So a deviation counts as at least
/// `leastDeviation`, and as at least half of the step in which the quantity is counted, over the median.
///
/// There is no logarithm of zero. A zero counts as half of the step, or where there is none as half of the smallest
/// value above zero on either side: less than anything seen.
public struct Ratio: Sendable {
    /// The ratio of the geometric means; infinite of something to nothing at all.
    public let estimate: Double
    /// Two-sided: how probable so uneven a ratio is where nothing differs; nil of fewer than two values.
    public let p: Double?
    private let test: Test?
    private let difference: Double
    /// False where both sides are all zeros, nil where one of them is.
    private let isKnown: Bool?

    /// The least standard deviation of logarithms: half a per cent.
    public static let leastDeviation = 0.005

    /// Of independent values, such as one of each run of two builds: Welch's test, which lets the two sides spread
    /// differently (Welch, The Generalization of "Student's" Problem, Biometrika 34, 1947).
    ///
    /// `step` is that in which the quantity is counted. Nil where a side is empty.
    public init?(base: Sample, new: Sample, step: Double? = nil) {
        guard base.count > 0, new.count > 0 else { return nil }
        let zero = Self.standIn(base.sorted + new.sorted, step)
        let (old, young) = (
            Logarithms(base.sorted, zero: zero, step), Logarithms(new.sorted, zero: zero, step)
        )
        self.init(
            difference: young.mean - old.mean, Test(old, young),
            isNothing: (base.sorted.last == 0, new.sorted.last == 0))
    }

    /// Of values in pairs, such as those of the same round of a run: what disturbs both cancels. Student's test of
    /// the differences. Nil without pairs.
    public init?(pairs: [(base: Double, new: Double)], step: Double? = nil) {
        guard !pairs.isEmpty else { return nil }
        let (base, new) = (pairs.map(\.base), pairs.map(\.new))
        let zero = Self.standIn(base + new, step)
        let (old, young) = (
            Logarithms(base, zero: zero, step), Logarithms(new, zero: zero, step)
        )
        let differences = zip(young.values, old.values).map { $0 - $1 }
        self.init(
            difference: Logarithms.mean(differences),
            Test(pairs: differences, floor: max(old.floor, young.floor)),
            isNothing: (base.allSatisfy { $0 == 0 }, new.allSatisfy { $0 == 0 }))
    }

    private init(difference: Double, _ test: Test?, isNothing: (base: Bool, new: Bool)) {
        self.test = test
        self.difference = difference
        switch isNothing {
        case (true, true): (estimate, p) = (1, test.map { _ in 1 })
        case (true, false), (false, true):
            (estimate, p) = (isNothing.base ? .infinity : 0, test?.p(difference))
        case (false, false): (estimate, p) = (exp(difference), test?.p(difference))
        }
        isKnown = isNothing == (false, false) ? true : isNothing == (true, true) ? false : nil
    }

    /// Where the ratio lies with a confidence of 95 %; nil of fewer than two values, and where one side is all zeros.
    public var interval: Interval? {
        guard let test, let isKnown else { return nil }
        guard isKnown else { return Interval(low: 1, high: 1) }
        let reach = test.reach(0.05)
        return Interval(low: exp(difference - reach), high: exp(difference + reach))
    }

    /// The smallest increase, as a share, that values which spread like these would have shown with a p of
    /// `significance`; nil where there is no p.
    public func leastVisible(significance: Double) -> Double? {
        test.map { exp($0.reach(significance)) - 1 }
    }

    private static func standIn(_ values: [Double], _ step: Double?) -> Double {
        (step ?? values.filter { $0 > 0 }.min() ?? 1) / 2
    }
}

/// The logarithms of some values, and the floor under their deviation.
private struct Logarithms {
    let values: [Double]
    let mean: Double
    let floor: Double

    init(_ numbers: [Double], zero: Double, _ step: Double?) {
        let positive = numbers.map { $0 > 0 ? $0 : zero }
        values = positive.map { log($0) }
        mean = Self.mean(values)
        floor = max(
            Ratio.leastDeviation, (step ?? 0) / 2 / (Sample(positive).median ?? .infinity))
    }

    static func mean(_ values: [Double]) -> Double {
        values.reduce(0, +) / Double(values.count)
    }

    /// Of the mean, squared; nil of fewer than two values.
    var squaredError: Double? { Self.squaredError(values, floor) }

    static func squaredError(_ values: [Double], _ floor: Double) -> Double? {
        guard values.count > 1 else { return nil }
        let mean = mean(values)
        let squares = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        return max(squares / Double(values.count - 1), floor * floor) / Double(values.count)
    }
}

/// How well a difference of logarithms is known.
private struct Test {
    let error: Double
    let distribution: StudentT

    init?(_ base: Logarithms, _ new: Logarithms) {
        guard let b = base.squaredError, let n = new.squaredError else { return nil }
        error = (b + n).squareRoot()
        // Welch and Satterthwaite.
        let (first, second) = (Double(base.values.count - 1), Double(new.values.count - 1))
        let share = b / (b + n)
        distribution = StudentT(
            degrees: 1 / (share * share / first + (1 - share) * (1 - share) / second))
    }

    init?(pairs differences: [Double], floor: Double) {
        guard let squared = Logarithms.squaredError(differences, floor) else { return nil }
        error = squared.squareRoot()
        distribution = StudentT(degrees: Double(differences.count - 1))
    }

    func p(_ difference: Double) -> Double { distribution.twoSided(difference / error) }

    /// How far from zero a difference has to be for a p.
    func reach(_ p: Double) -> Double { distribution.critical(p) * error }
}
