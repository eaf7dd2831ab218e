import DmaStatistics

/// How long a device pauses before each of its tries to pin what is being converted: random, and longer each time.
///
/// Two pins never exclude each other, but a pin and a conversion can refuse each other: the pin finds the page closed,
/// and the conversion finds the count of the pin that is about to be undone. Were both to try again at the same pace,
/// they could do so for ever. A random pause lets one of them fall between two tries of the other, and a growing one
/// leaves room for conversions that take long.
struct RetryPauses {
    private static let most: UInt64 = 256

    private var random: SplitMix64
    private var ceiling: UInt64 = 1

    /// Each seed has pauses of its own.
    init(seed: UInt64) { random = SplitMix64(seed: seed) }

    /// To be called before the first try of a request.
    mutating func startOver() { ceiling = 1 }

    /// How often to pause before the next try: from one to a bound that doubles, up to 256.
    mutating func next() -> UInt64 {
        defer { ceiling = min(ceiling * 2, Self.most) }
        return 1 + random.below(ceiling)
    }
}
