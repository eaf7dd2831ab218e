import Linux

/// What kept a thread from its work, in a stretch of its time: plain data for the control socket.
public struct Interference: BitwiseCopyable, Sendable {
    /// How long the stretch was, in nanoseconds.
    public var spanNanoseconds: Double = 0
    public var gaps: UInt64 = 0
    public var gapNanoseconds: Double = 0
    public var longestGapNanoseconds: Double = 0
    /// How much the core did, now and then: less where its other hardware thread is busy.
    public var probes = CoreProbeLog()
    /// What the kernel knows of it.
    public var kernel = ThreadCounters()
    /// How often the process has been stopped, and gone on.
    public var stops: UInt64 = 0
    /// The processor that the thread ran on in the end.
    public var processor = -1

    public init() {}

    /// The share of the stretch that went in gaps; nil of none.
    public var gapShare: Double? { spanNanoseconds > 0 ? gapNanoseconds / spanNanoseconds : nil }

    /// The share of the stretch in which the thread waited for a processor; nil of none.
    public var waitShare: Double? {
        spanNanoseconds > 0 ? Double(kernel.waitNanoseconds) / spanNanoseconds : nil
    }
}

/// A polling thread's watch over what is taken from it.
///
/// It costs a comparison for each turn of the loop, and a probe of some 4 us each millisecond, never more than 0.5 % of
/// the time.
public struct InterferenceWatch: Sendable {
    public private(set) var gaps = GapLog()
    private let clock: TickClock
    private let threshold: UInt64
    private let probeInterval: UInt64
    private var nextProbe: UInt64
    private var probes = CoreProbeLog()
    private var start: UInt64
    private var before = ThreadCounters()
    private var stopsBefore: UInt64 = 0

    /// The fewest nanoseconds between two probes.
    private static let probeIntervalNanoseconds: UInt64 = 1_000_000
    /// A probe may take one part in so many of the time.
    private static let probeShare: UInt64 = 200

    public init(clock: TickClock) {
        self.clock = clock
        threshold = clock.ticks(fromNanoseconds: GapLog.thresholdNanoseconds)
        probeInterval = clock.ticks(fromNanoseconds: Self.probeIntervalNanoseconds)
        start = clock.now()
        nextProbe = start
    }

    /// The stretch that is told of begins now.
    public mutating func begin() {
        gaps.startOver()
        probes = CoreProbeLog()
        before = ThreadCounters.ofThisThread()
        stopsBefore = StopCounter.count
        start = clock.now()
        nextProbe = start
    }

    /// A turn of the loop in which there was nothing to do, or what cannot take long.
    @inline(__always)
    public mutating func noteTurn(from start: UInt64, to end: UInt64) {
        if end &- start > threshold { gaps.note(from: start, to: end) }
    }

    /// Looks at the core where that is due, and returns when it has; nil where it is not due. What comes between is none
    /// of the loop's turns.
    @inline(__always)
    public mutating func probe(at now: UInt64) -> UInt64? {
        now >= nextProbe ? probe() : nil
    }

    @inline(never)
    private mutating func probe() -> UInt64? {
        guard CoreProbe.isAvailable else {
            nextProbe = .max
            return nil
        }
        let start = clock.now()
        probes.record(CoreProbe.addsPerCycle(clock))
        let end = clock.now()
        nextProbe = end &+ max(probeInterval, (end &- start) &* Self.probeShare)
        return end
    }

    /// What came of the stretch until now. Called by the thread itself.
    public func end() -> Interference {
        var result = Interference()
        result.spanNanoseconds = clock.nanoseconds(from: clock.now() &- start)
        result.gaps = gaps.count
        result.gapNanoseconds = clock.nanoseconds(from: gaps.total)
        result.longestGapNanoseconds = clock.nanoseconds(from: gaps.longest)
        result.probes = probes
        result.kernel = ThreadCounters.ofThisThread().since(before)
        result.stops = StopCounter.count - stopsBefore
        result.processor = Processors.current
        return result
    }
}
