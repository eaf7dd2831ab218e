/// Time that was taken from a thread that polls, as it sees it itself: turns of its loop that took longer than they
/// can have, without work of its own. The host may take it, or another thread; the kernel's counters need not know.
public struct GapLog: BitwiseCopyable, Sendable, Equatable {
    /// A turn is a gap from so many nanoseconds on: a turn without work takes a tenth of a microsecond, an interrupt
    /// some microseconds.
    public static let thresholdNanoseconds: UInt64 = 10_000

    public private(set) var count: UInt64 = 0
    /// All of them together, and the longest, in ticks.
    public private(set) var total: UInt64 = 0
    public private(set) var longest: UInt64 = 0
    /// When the last one was over, in ticks; zero before any.
    public private(set) var lastEnd: UInt64 = 0

    public init() {}

    public mutating func note(from start: UInt64, to end: UInt64) {
        let length = TickClock.elapsed(from: start, to: end)
        count &+= 1
        total &+= length
        longest = max(longest, length)
        lastEnd = end
    }

    /// Forgets what it has counted, but not when the last gap was over.
    public mutating func startOver() {
        let end = lastEnd
        self = GapLog()
        lastEnd = end
    }
}
