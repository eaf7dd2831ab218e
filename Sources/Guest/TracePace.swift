import Telemetry

/// Requests are due when they were in the guest that was recorded, or so much faster; or one after the other.
public struct TracePace: RequestPace {
    private let layout: TraceLayout
    /// Ticks of a nanosecond of the trace; zero where requests are not due at times.
    private let scale: Double
    private let isRepeated: Bool
    private var start: UInt64 = 0
    private var taken: UInt64 = 0

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

    /// Looked for at doubled distances, then by halves.
    public func waiting(at now: UInt64) -> UInt64 {
        guard scale > 0 else { return 0 }
        func areDue(_ count: UInt64) -> Bool {
            guard isRepeated || taken + count <= UInt64(layout.count) else { return false }
            return time(of: taken + count - 1) <= now
        }
        var tooMany: UInt64 = 1
        while areDue(tooMany) { tooMany *= 2 }
        var count = tooMany / 2
        while tooMany - count > 1 {
            let middle = count + (tooMany - count) / 2
            if areDue(middle) { count = middle } else { tooMany = middle }
        }
        return count
    }

    /// When a request is due, in ticks. A repetition begins one mean gap after the last request of the pass before.
    private func time(of number: UInt64) -> UInt64 {
        let (pass, index) = number.quotientAndRemainder(dividingBy: UInt64(layout.count))
        let period = Double(layout.span) * Double(layout.count) / Double(max(1, layout.count - 1))
        let nanoseconds = Double(pass) * max(period, 1) + Double(layout[Int(index)].due)
        return start &+ UInt64(nanoseconds * scale)
    }
}
