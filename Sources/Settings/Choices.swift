/// Where the devices' buffers lie.
public enum BufferPlacement: String, CaseIterable, BitwiseCopyable, Sendable {
    /// Each at an alignment of its own.
    case disjoint
    /// All in one and the same place.
    case same
    /// One behind the other, without a gap: pages of two devices may share a cache line of RMP entries.
    case adjacent
}

/// Where the guest converts pages, seen from the buffers.
public enum ConversionPlace: String, CaseIterable, BitwiseCopyable, Sendable {
    case inside, outside, mixed
}

/// How often the guest asks for something: conversions, or DMAs.
public enum LoopRate: BitwiseCopyable, Hashable, Sendable, CustomStringConvertible,
    ExpressibleByIntegerLiteral
{
    /// So many a second, whatever becomes of them: an open loop.
    case perSecond(UInt64)
    /// The next one as soon as one is answered: a closed loop.
    case max

    public init(integerLiteral value: UInt64) { self = .perSecond(value) }

    /// So many a second; infinity where there is no such number.
    public var hertz: Double {
        switch self {
        case .perSecond(let count): Double(count)
        case .max: .infinity
        }
    }

    /// Its place among rates.
    public var order: UInt64 {
        switch self {
        case .perSecond(let count): count
        case .max: .max
        }
    }

    public var description: String {
        switch self {
        case .perSecond(let count): "\(count)"
        case .max: "max"
        }
    }
}

/// How the requests of an open loop follow each other.
public enum Arrivals: String, CaseIterable, BitwiseCopyable, Sendable {
    /// Independent of each other: the times between two are exponential.
    case poisson
    /// At equal distances.
    case fixed
}

/// How fast a trace is replayed.
public enum TraceSpeed: BitwiseCopyable, Hashable, Sendable {
    /// So many times as fast as it was recorded: each request is due at its time.
    case times(Double)
    /// The next request comes as soon as there is room for it.
    case max

    /// Infinity where there is no such number.
    public var factor: Double {
        switch self {
        case .times(let factor): factor
        case .max: .infinity
        }
    }
}

/// Which way the data of DMAs goes.
public enum Direction: BitwiseCopyable, Hashable, Sendable, CustomStringConvertible {
    /// Devices write guest memory.
    case write
    /// Devices read guest memory.
    case read
    /// Drawn for each request: so many of a hundred are reads.
    case mixed(reads: UInt64)

    public var description: String {
        switch self {
        case .write: "write"
        case .read: "read"
        case .mixed(let reads): "mixed:\(reads)"
        }
    }
}

/// What a device does when a store of its faults, because the page has become private under the write.
public enum FaultPolicy: String, CaseIterable, BitwiseCopyable, Sendable {
    /// The request fails, and says how far it got.
    case abort
    /// The device waits until the guest has shared the page again, or the request's deadline, and writes on.
    case retry
    /// The hypervisor takes the page back, and the guest is told at its next use of it.
    case convertBack = "convert-back"
}
