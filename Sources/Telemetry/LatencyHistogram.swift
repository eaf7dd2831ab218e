import Histogram

/// Latencies in nanoseconds to three significant digits, with the exact maximum and sum.
///
/// Its 33,792 buckets up to an hour (264 KiB) are allocated once. It has no copies: the record after a copy would
/// allocate.
public struct LatencyHistogram: ~Copyable, Sendable {
    /// Longer latencies count as this long in the percentiles.
    public static let limit: UInt64 = 3600 * 1_000_000_000

    private var histogram = Histogram<UInt64>(
        highestTrackableValue: limit, numberOfSignificantValueDigits: .three)
    private var exactMaximum: UInt64 = 0

    /// Exact; `UInt64.max` is that or more.
    public private(set) var sum: UInt64 = 0
    /// How many were longer than `limit`.
    public private(set) var beyondLimit: UInt64 = 0

    public init() {}

    public var count: UInt64 { histogram.totalCount }

    /// Exact; nil where nothing was recorded.
    public var maximum: UInt64? { count == 0 ? nil : exactMaximum }

    /// Bytes it takes.
    public var footprint: Int { histogram.estimatedFootprintInBytes }

    public mutating func record(_ nanoseconds: UInt64) {
        histogram.record(min(nanoseconds, Self.limit))
        let longer = sum.addingReportingOverflow(nanoseconds)
        sum = longer.overflow ? UInt64.max : longer.partialValue
        exactMaximum = max(exactMaximum, nanoseconds)
        if nanoseconds > Self.limit { beyondLimit += 1 }
    }

    /// The value that `percent` of 100 samples do not exceed, at most 0.1 % too high; nil where nothing was recorded.
    public func percentile(_ percent: Double) -> UInt64? {
        count == 0 ? nil : histogram.valueAtPercentile(percent)
    }

    public mutating func reset() {
        histogram.reset()
        exactMaximum = 0
        sum = 0
        beyondLimit = 0
    }
}
