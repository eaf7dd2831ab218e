import DmaStatistics
import Glibc
import Settings
import Telemetry

/// Requests come at a rate, whatever becomes of them: each has its time, and what comes late counts as late.
///
/// The sequence is drawn twice from one seed. The first drawing says when the next request is due that the driver has
/// not taken; the second runs ahead to the present, and their distance is what waits.
public struct OpenLoop: RequestPace {
    /// The times of a sequence, one after the other, in ticks from its start.
    private struct Times {
        private let interval: Double
        private let arrivals: Arrivals
        private var random: SplitMix64
        /// The request that is next, counted from 0, and when it is due.
        private(set) var number: UInt64 = 0
        private(set) var next = 0.0

        init(interval: Double, arrivals: Arrivals, seed: UInt64) {
            self.interval = interval
            self.arrivals = arrivals
            random = SplitMix64(seed: seed)
            next = distance()
        }

        mutating func advance() {
            number += 1
            next = arrivals == .fixed ? Double(number + 1) * interval : next + distance()
        }

        /// Goes on to the first that is not due by `present`. Where each follows from the one before, so many are walked at
        /// most.
        mutating func advance(beyond present: UInt64, atMost steps: Int) {
            let quotient = Double(present) / interval
            if arrivals == .fixed, quotient > Double(number) + 3 {
                // Up to three are left to walk, since the quotient is rounded.
                number = UInt64(quotient) - 3
                advance()
            }
            var left = steps
            while UInt64(next) <= present, left > 0 {
                advance()
                left -= 1
            }
        }

        private mutating func distance() -> Double {
            guard arrivals == .poisson else { return interval }
            // From 2^-53 to 1: its logarithm is finite.
            let share = Double((random.next() >> 11) + 1) * 0x1p-53
            return -log(share) * interval
        }
    }

    private var first: Times
    private var ahead: Times
    private var start: UInt64 = 0

    /// At most so many due times are walked in one step: some tens of microseconds.
    private static let mostAtOnce = 4096

    /// `rate` requests a second, at times of the device's own.
    public init(rate: Double, arrivals: Arrivals, device: Int, seed: UInt64, clock: TickClock) {
        precondition(rate > 0 && rate.isFinite, "an open loop at rate \(rate)")
        var seeds = SplitMix64(seed: seed)
        for _ in 0..<device { _ = seeds.next() }
        first = Times(
            interval: 1e9 / rate / clock.nanosecondsPerTick, arrivals: arrivals,
            seed: seeds.next())
        ahead = first
    }

    public mutating func begin(at now: UInt64) { start = now }

    public func due(after end: UInt64) -> UInt64? { start &+ UInt64(first.next) }

    public mutating func take() { first.advance() }

    public mutating func waiting(at now: UInt64) -> UInt64 {
        ahead.advance(
            beyond: TickClock.elapsed(from: start, to: now), atMost: Self.mostAtOnce)
        return ahead.number > first.number ? ahead.number - first.number : 0
    }
}
