import GuestMemory

/// A run of bytes of guest memory that a recorded request names.
public struct TraceSegment: BitwiseCopyable, Hashable, Sendable {
    /// Guest physical.
    public let address: UInt64
    public let byteCount: UInt64

    /// Pages of the longest; whatever is longer is written down as several.
    public static let pageLimit: UInt64 = 1 << 19

    /// Some bytes of guest memory: at least one, none above 16 TiB.
    public init(address: UInt64, byteCount: UInt64) {
        precondition(
            byteCount > 0 && address < Self.addressLimit
                && byteCount <= Self.addressLimit - address,
            "\(byteCount) bytes at \(address)")
        self.address = address
        self.byteCount = byteCount
    }

    static let addressLimit = PageRange.frameLimit * pageSize

    /// The pages that it lies in.
    public var pages: PageRange {
        let first = address / pageSize
        return PageRange(
            start: first, count: (address + byteCount - 1) / pageSize - first + 1)
    }
}

/// Which way a recorded request moves its data.
public enum TraceDirection: UInt8, BitwiseCopyable, Sendable {
    /// The device reads guest memory.
    case read
    /// It writes guest memory.
    case write

    /// As a trace has it.
    public var word: String { self == .read ? "read" : "write" }
}

/// A request of a trace; its segments lie in the trace.
public struct TraceRequest: Hashable, Sendable {
    /// When the guest made it available, in nanoseconds from the first one, which has 0.
    public let due: UInt64
    public var queue: UInt16
    public var direction: TraceDirection
    /// Places in the trace's `segments`.
    public var segments: Range<Int>
}

/// The requests that a guest sent to a device: when, which way, and which bytes of its memory.
///
/// Of data alone: neither what the bytes are nor where they lie on the disk. All requests lie in two arrays, so that a
/// trace of a million of them is two allocations.
public struct Trace: Hashable, Sendable {
    /// In the order in which they were due.
    public private(set) var requests: [TraceRequest] = []
    public private(set) var segments: [TraceSegment] = []
    /// Requests that whoever recorded it had no room for.
    public internal(set) var lost: UInt64 = 0

    public static let requestLimit = 1 << 20
    /// Segments of a request, and of all together.
    public static let chainLimit = 1 << 15
    public static let segmentLimit = 1 << 24
    /// From the first request to the last, in nanoseconds: a day.
    public static let spanLimit: UInt64 = 86_400_000_000_000

    public init() {}

    /// Adds a request that is due no sooner than the last; the first one is due at 0.
    public mutating func append(
        due: UInt64, queue: UInt16 = 0, _ direction: TraceDirection, _ list: [TraceSegment]
    ) {
        precondition(!list.isEmpty, "a request without data")
        precondition(!requests.isEmpty || due == 0, "the first is due at \(due), not at 0")
        precondition(due >= requests.last?.due ?? 0, "due at \(due), before the last")
        let start = segments.count
        segments.append(contentsOf: list)
        requests.append(
            TraceRequest(
                due: due, queue: queue, direction: direction, segments: start..<segments.count))
    }

    /// The segments of a request, in its order.
    public func segments(of index: Int) -> ArraySlice<TraceSegment> {
        segments[requests[index].segments]
    }

    /// From the first request to the last, in nanoseconds.
    public var span: UInt64 { requests.last?.due ?? 0 }
}
