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
        /// Of the request that is next.
        private(set) var next = 0.0

        init(interval: Double, arrivals: Arrivals, seed: UInt64) {
            self.interval = interval
            self.arrivals = arrivals
            random = SplitMix64(seed: seed)
            advance()
        }

        mutating func advance() {
            switch arrivals {
            case .fixed: next += interval
            case .poisson:
                // From 2^-53 to 1: its logarithm is finite.
                let share = Double((random.next() >> 11) + 1) * 0x1p-53
                next -= log(share) * interval
            }
        }
    }

    private var first: Times
    private var ahead: Times
    private var taken: UInt64 = 0
    private var fallenDue: UInt64 = 0
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

    public mutating func take() {
        first.advance()
        taken += 1
    }

    public mutating func waiting(at now: UInt64) -> UInt64 {
        let present = TickClock.elapsed(from: start, to: now)
        var steps = 0
        while UInt64(ahead.next) <= present, steps < Self.mostAtOnce {
            ahead.advance()
            fallenDue += 1
            steps += 1
        }
        return fallenDue > taken ? fallenDue - taken : 0
    }
}
