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

    /// Adds what another one holds.
    public mutating func add(_ other: borrowing LatencyHistogram) {
        for bucket in other.histogram.recordedValues() {
            histogram.record(min(bucket.value, Self.limit), count: bucket.count)
        }
        addExact(sum: other.sum, maximum: other.exactMaximum, beyondLimit: other.beyondLimit)
    }

    private mutating func addExact(sum more: UInt64, maximum: UInt64, beyondLimit: UInt64) {
        let longer = sum.addingReportingOverflow(more)
        sum = longer.overflow ? UInt64.max : longer.partialValue
        exactMaximum = max(exactMaximum, maximum)
        self.beyondLimit += beyondLimit
    }

    // MARK: In shared memory

    private struct Header: BitwiseCopyable {
        var sum: UInt64
        var maximum: UInt64
        var beyondLimit: UInt64
        var buckets: UInt64
    }

    private struct Bucket: BitwiseCopyable {
        var value: UInt64
        var count: UInt64
    }

    private static let bucketLimit = 33_792

    /// Bytes that the buckets which are not empty can take.
    public static let storedByteCount =
        (MemoryLayout<Header>.stride + bucketLimit * MemoryLayout<Bucket>.stride + 4095) & ~4095

    /// Writes what it holds to memory of `storedByteCount` bytes.
    public func store(in bytes: UnsafeMutableRawBufferPointer) {
        var buckets: UInt64 = 0
        var offset = MemoryLayout<Header>.stride
        for bucket in histogram.recordedValues() {
            bytes.storeBytes(
                of: Bucket(value: bucket.value, count: bucket.count), toByteOffset: offset,
                as: Bucket.self)
            offset += MemoryLayout<Bucket>.stride
            buckets += 1
        }
        bytes.storeBytes(
            of: Header(
                sum: sum, maximum: exactMaximum, beyondLimit: beyondLimit, buckets: buckets),
            as: Header.self)
    }

    /// Adds what another one has stored.
    public mutating func add(storedIn bytes: UnsafeMutableRawBufferPointer) {
        let header = bytes.load(as: Header.self)
        var offset = MemoryLayout<Header>.stride
        for _ in 0..<min(header.buckets, UInt64(Self.bucketLimit)) {
            let bucket = bytes.load(fromByteOffset: offset, as: Bucket.self)
            histogram.record(min(bucket.value, Self.limit), count: bucket.count)
            offset += MemoryLayout<Bucket>.stride
        }
        addExact(sum: header.sum, maximum: header.maximum, beyondLimit: header.beyondLimit)
    }

    public mutating func reset() {
        histogram.reset()
        exactMaximum = 0
        sum = 0
        beyondLimit = 0
    }
}
