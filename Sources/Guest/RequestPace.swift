/// When a driver's requests are due, one after the other: what makes a load.
///
/// The driver asks when the next one is due, waits for that and for room among its requests in flight, takes it, and
/// counts its latency from that moment. All times are ticks of one clock; they begin with the first moment that is
/// measured.
public protocol RequestPace {
    /// The measurement begins; to be called once, before anything else.
    mutating func begin(at now: UInt64)

    /// When the next request is due, where the last one came back at `end`; nil where there is none any more.
    func due(after end: UInt64) -> UInt64?

    /// Goes on to the request after that.
    mutating func take()

    /// How many requests are due by then that have not been taken. One that has to walk there may stop before, and goes on
    /// when it is asked again.
    mutating func waiting(at now: UInt64) -> UInt64
}

/// The next request comes a pause after the last one has come back. Nothing is ever late.
public struct ClosedLoop: RequestPace {
    private let pause: UInt64
    private var start: UInt64 = 0

    /// `pause` is in ticks.
    public init(pause: UInt64) { self.pause = pause }

    public mutating func begin(at now: UInt64) { start = now }
    public func due(after end: UInt64) -> UInt64? { max(start, end &+ pause) }
    public mutating func take() {}
    public func waiting(at now: UInt64) -> UInt64 { 0 }
}
