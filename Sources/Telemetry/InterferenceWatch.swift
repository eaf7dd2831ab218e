import DmaLinux

/// What kept a thread from its work, in a stretch of its time: plain data for the control socket.
public struct Interference: BitwiseCopyable, Sendable {
    /// How long the stretch was, in nanoseconds: up to the last piece of work.
    public var spanNanoseconds: Double = 0
    /// How long the kernel's counters were looked at, which goes on until somebody asks.
    public var kernelSpanNanoseconds: Double = 0
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
        kernelSpanNanoseconds > 0
            ? Double(kernel.waitNanoseconds) / kernelSpanNanoseconds : nil
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
    private var hasBegun = false
    private var start: UInt64
    /// When the last piece of work was done, and the gaps until then.
    private var end: UInt64
    private var gapsUntilEnd = GapLog()
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
        end = start
        nextProbe = start
    }

    /// The stretch that is told of begins now.
    public mutating func begin() {
        hasBegun = true
        gaps.startOver()
        gapsUntilEnd = gaps
        probes = CoreProbeLog()
        before = ThreadCounters.ofThisThread()
        stopsBefore = StopCounter.count
        start = clock.now()
        end = start
        nextProbe = start
    }

    /// A piece of work was done: the stretch goes on until here at least. What comes after the last one is not told.
    @inline(__always)
    public mutating func noteWork(at now: UInt64) {
        end = now
        gapsUntilEnd = gaps
    }

    /// A turn of the loop in which there was nothing to do, or what cannot take long.
    @inline(__always)
    public mutating func noteTurn(from start: UInt64, to end: UInt64) {
        if TickClock.elapsed(from: start, to: end) > threshold { gaps.note(from: start, to: end) }
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

    /// What came of the stretch until its last piece of work; nothing but the processor where it never began. Called by
    /// the thread itself.
    public func finish() -> Interference {
        var result = Interference()
        result.processor = Processors.current
        guard hasBegun else { return result }
        let gaps = gapsUntilEnd
        result.spanNanoseconds = clock.nanoseconds(from: TickClock.elapsed(from: start, to: end))
        result.gaps = gaps.count
        result.gapNanoseconds = clock.nanoseconds(from: gaps.total)
        result.longestGapNanoseconds = clock.nanoseconds(from: gaps.longest)
        result.probes = probes
        result.kernel = ThreadCounters.ofThisThread().since(before)
        result.kernelSpanNanoseconds = clock.nanoseconds(
            from: TickClock.elapsed(from: start, to: clock.now()))
        result.stops = StopCounter.count - stopsBefore
        return result
    }
}
