/// What the probes of a core found: how many of them found how many adds a cycle.
///
/// Plain data of 1 KiB, which processes may share. Zeros are an empty log.
public struct CoreProbeLog: BitwiseCopyable, Sendable {
    /// The share of the best below which a core counts as shared. Between the two clusters that a core has, alone and
    /// shared, with room for what a clock's step does to a probe.
    public static let sharedBelow = 0.85

    private static var bucketsPerAdd: Double { 16 }
    private var buckets = InlineArray<128, UInt64>(repeating: 0)

    /// How many probes there were.
    public private(set) var count: UInt64 = 0

    public init() {}

    /// Takes in a probe's adds a cycle; eight and more are one bucket. What is no ratio, such as the zero of a machine
    /// without a probe, is left out.
    public mutating func record(_ ratio: Double) {
        guard ratio > 0, ratio.isFinite else { return }
        let bucket = min(ratio * Self.bucketsPerAdd, Double(buckets.count - 1))
        buckets[Int(bucket)] &+= 1
        count &+= 1
    }

    public mutating func add(_ other: CoreProbeLog) {
        for bucket in buckets.indices { buckets[bucket] &+= other.buckets[bucket] }
        count &+= other.count
    }

    /// The adds a cycle of this core when nobody else is on it, as far as these probes saw it so: what one probe in a
    /// hundred reaches, and two at least. Nil for fewer than two.
    ///
    /// Not the most that was seen: a probe both of whose chains were interrupted found more than there is.
    public var best: Double? {
        let enough = max(2, (count + 99) / 100)
        var reached: UInt64 = 0
        for bucket in buckets.indices.reversed() {
            reached &+= buckets[bucket]
            if reached >= enough { return Self.middle(of: bucket) }
        }
        return nil
    }

    /// The share of the probes, from 0 to 1, that found less than `ratio` adds a cycle, to a bucket of a sixteenth of an
    /// add; nil where there were none.
    ///
    /// Whether a core was shared: `share(below: CoreProbeLog.sharedBelow * best)`, with the best of all the logs of that
    /// processor, since a stranger may have been there for all of one.
    public func share(below ratio: Double) -> Double? {
        guard count > 0 else { return nil }
        var below: UInt64 = 0
        for bucket in buckets.indices where Self.middle(of: bucket) < ratio {
            below &+= buckets[bucket]
        }
        return Double(below) / Double(count)
    }

    private static func middle(of bucket: Int) -> Double { (Double(bucket) + 0.5) / bucketsPerAdd }
}
