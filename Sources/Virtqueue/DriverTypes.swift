/// A request whose chain is built: the driver's token for it.
public struct PreparedRequest: Hashable, Sendable {
    /// Its place among the requests of its queue: below their number, and no other's as long as it is not released.
    public let slot: Int
}

/// Bytes of guest memory that a descriptor names: guest physical, anywhere.
public struct ByteRun: BitwiseCopyable, Hashable, Sendable {
    public let address: UInt64
    public let byteCount: UInt32

    public init(address: UInt64, byteCount: UInt32) {
        self.address = address
        self.byteCount = byteCount
    }
}

/// A request that the device is done with.
public struct Completion: Equatable, Sendable {
    public let request: PreparedRequest
    /// What the request was submitted with.
    public let generation: UInt64
    /// Nil where the device wrote no status, or none that there is.
    public let status: RequestStatus?
    /// `len` of the used ring: at least so many bytes were written, the status included where it is
    /// behind all the data.
    public let usedLength: UInt32
}

/// Why no chain was built.
public enum PrepareError: Error, Equatable, Sendable, CustomStringConvertible {
    case noData
    case tooManyDescriptors(needed: Int, limit: Int)
    case noFreeRequest(limit: Int)

    public var description: String {
        switch self {
        case .noData: "a request without data"
        case .tooManyDescriptors(let needed, let limit):
            "a request of \(needed) data descriptors: this queue takes \(limit); "
                + "split the request, or lay the queue out for more"
        case .noFreeRequest(let limit):
            "all \(limit) requests of this queue are in use: poll for completions first"
        }
    }
}

/// A used ring that no device in its right mind writes: only a reset helps.
public enum DeviceError: Error, Equatable, Sendable, CustomStringConvertible {
    case usedIndexRanAhead(by: Int, outstanding: Int)
    case notOutstanding(head: UInt32)

    public var description: String {
        switch self {
        case .usedIndexRanAhead(let ahead, let outstanding):
            "the device completed \(ahead) requests, but only \(outstanding) are outstanding"
        case .notOutstanding(let head):
            "the device completed descriptor \(head), which is the head of no outstanding request"
        }
    }
}
