import Telemetry

/// Requests are due when they were in the guest that was recorded, or so much faster; or one after the other.
public struct TracePace: RequestPace {
    private let layout: TraceLayout
    /// Ticks of a nanosecond of the trace; zero where requests are not due at times.
    private let scale: Double
    private let isRepeated: Bool
    private var start: UInt64 = 0
    private var taken: UInt64 = 0
    /// Requests that are due, as far as it has been looked.
    private var fallenDue: UInt64 = 0

    /// At most so many due times are walked in one step.
    private static let mostAtOnce = 4096

    /// `speed` times as fast as recorded; infinity has each request come as soon as there is room. Behind the last comes
    /// the first again, where it `isRepeated`; else nothing.
    public init(_ layout: TraceLayout, speed: Double, isRepeated: Bool, clock: TickClock) {
        precondition(speed > 0, "a trace at speed \(speed)")
        self.layout = layout
        self.isRepeated = isRepeated
        scale = speed.isFinite ? 1 / (clock.nanosecondsPerTick * speed) : 0
    }

    public mutating func begin(at now: UInt64) { start = now }

    public func due(after end: UInt64) -> UInt64? {
        guard isRepeated || taken < UInt64(layout.count) else { return nil }
        return scale > 0 ? time(of: taken) : max(start, end)
    }

    public mutating func take() { taken += 1 }

    public mutating func waiting(at now: UInt64) -> UInt64 {
        guard scale > 0 else { return 0 }
        var steps = 0
        while isRepeated || fallenDue < UInt64(layout.count), time(of: fallenDue) <= now,
            steps < Self.mostAtOnce
        {
            fallenDue += 1
            steps += 1
        }
        return fallenDue > taken ? fallenDue - taken : 0
    }

    /// When a request is due, in ticks. A repetition begins one mean gap after the last request of the pass before.
    private func time(of number: UInt64) -> UInt64 {
        let (pass, index) = number.quotientAndRemainder(dividingBy: UInt64(layout.count))
        let period = Double(layout.span) * Double(layout.count) / Double(max(1, layout.count - 1))
        let nanoseconds = Double(pass) * max(period, 1) + Double(layout[Int(index)].due)
        return start &+ UInt64(nanoseconds * scale)
    }
}
