import GuestMemory

/// A device's side whose kept pins come and go with its requests, as many as a limit of its own allows: a cache.
public protocol CachingPinner: Pinner {
    /// Pages that are kept between requests at most.
    var limit: PageCount { get set }

    /// Of everything since the pinner was made.
    var counters: CacheCounters { get }
}

extension PinStrategy {
    /// Whether its devices keep pins beyond a DMA, within a limit that can be chosen.
    public static var isCached: Bool { Device.self is any CachingPinner.Type }
}

/// What became of the pins and registrations of a cache: plain data, named as in UCX's rcache.
public struct CacheCounters: BitwiseCopyable, Equatable, Sendable {
    /// Pins that found their range registered, and that did not, the refused ones too: together UCX's `gets`.
    public var hits: UInt64 = 0
    public var misses: UInt64 = 0
    /// Registrations that became part of a larger one.
    public var merges: UInt64 = 0
    /// Registrations that a conversion asked for.
    public var invalidations: UInt64 = 0
    /// Registrations that went because of a limit.
    public var evictions: UInt64 = 0

    public init() {}

    /// Adds another device's.
    public mutating func add(_ other: CacheCounters) {
        hits += other.hits
        misses += other.misses
        merges += other.merges
        invalidations += other.invalidations
        evictions += other.evictions
    }

    /// What has been counted since an earlier look at the same counters.
    public func since(_ earlier: CacheCounters) -> CacheCounters {
        var difference = self
        difference.hits -= earlier.hits
        difference.misses -= earlier.misses
        difference.merges -= earlier.merges
        difference.invalidations -= earlier.invalidations
        difference.evictions -= earlier.evictions
        return difference
    }
}
