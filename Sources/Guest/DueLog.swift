import Telemetry

/// What a guest sees of requests that have a time at which they are due.
public struct DueLog: ~Copyable {
    /// Of those that were measured and completed: from when they were due until the driver had them back, in nanoseconds.
    public private(set) var latency = LatencyHistogram()
    /// The most that were due and not yet submitted, at any time.
    public private(set) var longestBacklog: UInt64 = 0

    public init() {}

    mutating func note(latency nanoseconds: UInt64) { latency.record(nanoseconds) }
    mutating func note(backlog count: UInt64) { longestBacklog = max(longestBacklog, count) }

    /// Takes in what another driver has seen.
    public mutating func add(_ other: borrowing DueLog) {
        latency.add(other.latency)
        longestBacklog = max(longestBacklog, other.longestBacklog)
    }
}
