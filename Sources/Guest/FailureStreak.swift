import Telemetry

/// Requests that devices fail one after the other, for want of room for their pins: in the journal, under a cap, in the
/// kernel. One may be bad luck. Where none succeeds any more, a turn that waits for a number of DMAs would never end.
struct FailureStreak {
    private(set) var count = 0
    /// When the first of them came, in nanoseconds.
    private var start: UInt64 = 0

    static let fewest = 100
    static let shortest: UInt64 = 10_000_000_000

    /// Takes how a request ended, which came at `now`. What a guest brings on itself does not count.
    mutating func note(_ outcome: RequestOutcome, at now: @autoclosure () -> UInt64) {
        guard outcome == .ioError || outcome == .overLimit else {
            count = 0
            return
        }
        if count == 0 { start = now() }
        count += 1
    }

    func isEndless(at now: UInt64) -> Bool {
        count >= Self.fewest && now > start + Self.shortest
    }
}
