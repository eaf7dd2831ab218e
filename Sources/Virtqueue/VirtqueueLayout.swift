import GuestMemory

/// Where the parts of a split virtqueue lie, as byte offsets from the first byte of its queue area.
///
/// The three rings are those of VIRTIO 1.2, 2.7: descriptor table, available ring, used ring,
/// aligned to at least 16, 2 and 4 bytes (here to a cache line, so that the two sides' rings share
/// none). Behind them lie what a driver needs for its requests: an indirect descriptor table for
/// each request that may be outstanding and, on pages of their own, each request's header and
/// status. All of it together, in whole pages, is the *queue area*: what a device keeps pinned for
/// as long as it runs.
public struct VirtqueueLayout: Hashable, Sendable {
    /// The largest queue there is: 2.7.
    public static let queueSizeLimit = 32768

    /// Entries of the descriptor table and of both rings: a power of two.
    public let queueSize: Int
    /// Requests that may be outstanding at the same time.
    public let requests: Int
    /// Data descriptors that one request may have.
    public let dataDescriptors: Int

    public let descriptorTableOffset = 0
    public let availableRingOffset: Int
    public let usedRingOffset: Int
    public let indirectTablesOffset: Int
    public let recordsOffset: Int
    /// The length of the queue area.
    public let pages: PageCount

    /// Lays out a queue of `queueSize` entries for a number of outstanding requests of up to
    /// `dataDescriptors`.
    ///
    /// A chain may not be longer than the queue, indirect or not (2.7.5.3.1), and two of its
    /// descriptors are the header and the status: so `dataDescriptors` is at most `queueSize` - 2,
    /// 32,766 in the largest queue.
    public init(queueSize: Int, requests: Int = 1, dataDescriptors: Int) throws(LayoutError) {
        guard Self.isQueueSize(queueSize) else { throw .queueSize(queueSize) }
        guard requests >= 1, requests <= queueSize else {
            throw .requests(requests, limit: queueSize)
        }
        guard dataDescriptors >= 1, dataDescriptors <= queueSize - 2 else {
            throw .dataDescriptors(dataDescriptors, limit: max(queueSize - 2, 0))
        }
        self.queueSize = queueSize
        self.requests = requests
        self.dataDescriptors = dataDescriptors

        let cacheLine = 64
        let page = Int(pageSize)
        availableRingOffset = Self.align(Descriptor.byteCount * queueSize, to: cacheLine)
        usedRingOffset = Self.align(
            availableRingOffset + Ring.availableByteCount(queueSize: queueSize), to: cacheLine)
        indirectTablesOffset = Self.align(
            usedRingOffset + Ring.usedByteCount(queueSize: queueSize), to: cacheLine)
        let table = Descriptor.byteCount * (dataDescriptors + 2)
        recordsOffset = Self.align(indirectTablesOffset + table * requests, to: page)
        let end = Self.align(recordsOffset + Self.recordStride * requests, to: page)
        pages = PageCount(UInt64(end / page))
    }

    /// The queue area that starts at `start`.
    public func area(at start: GFN) -> PageRange {
        PageRange(start: start.rawValue, count: pages.rawValue)
    }

    /// The addresses of the three rings in the queue area that starts at `start`.
    public func rings(at start: GFN, usesEventIndex: Bool = false) -> VirtqueueRings {
        do throws(RingError) {
            return try VirtqueueRings(
                queueSize: queueSize,
                descriptorTable: start.address + UInt64(descriptorTableOffset),
                availableRing: start.address + UInt64(availableRingOffset),
                usedRing: start.address + UInt64(usedRingOffset), usesEventIndex: usesEventIndex)
        } catch {
            preconditionFailure("a queue laid out here: \(error)")
        }
    }

    static func isQueueSize(_ size: Int) -> Bool {
        (1...queueSizeLimit).contains(size) && size & (size - 1) == 0
    }

    /// The longest chain one request needs: header, data, status.
    var chainLimit: Int { dataDescriptors + 2 }

    /// A request's header and status, on a cache line that no other request touches.
    static let recordStride = 64
    static let statusOffsetInRecord = 32

    func indirectTableOffset(of request: Int) -> Int {
        indirectTablesOffset + request * chainLimit * Descriptor.byteCount
    }

    func headerOffset(of request: Int) -> Int { recordsOffset + request * Self.recordStride }

    func statusOffset(of request: Int) -> Int {
        headerOffset(of: request) + Self.statusOffsetInRecord
    }

    private static func align(_ offset: Int, to alignment: Int) -> Int {
        (offset + alignment - 1) / alignment * alignment
    }
}

/// A queue that VIRTIO does not allow, with the value asked for and the limit.
public enum LayoutError: Error, Equatable, Sendable, CustomStringConvertible {
    case queueSize(Int)
    case requests(Int, limit: Int)
    case dataDescriptors(Int, limit: Int)

    public var description: String {
        switch self {
        case .queueSize(let size):
            "a queue of \(size) entries: it must be a power of two, at most "
                + "\(VirtqueueLayout.queueSizeLimit) (VIRTIO 1.2, 2.7)"
        case .requests(let asked, let limit):
            "\(asked) outstanding requests: a queue of this size takes 1 to \(limit)"
        case .dataDescriptors(let asked, let limit):
            "\(asked) data descriptors a request: a chain may not be longer than the queue, which "
                + "leaves at most \(limit) (VIRTIO 1.2, 2.7.5.3.1)"
        }
    }
}
