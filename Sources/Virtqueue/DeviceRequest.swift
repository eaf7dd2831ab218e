import GuestMemory

/// A request as the device took it: checked, and copied to where no guest can change it.
///
/// Made once, with room for the longest chain, and filled again for each request.
public struct DeviceRequest: ~Copyable {
    /// The chain's head, which names the request in the used ring.
    public private(set) var head: UInt16 = 0
    /// The header's generation, with which the device marks what it writes.
    public internal(set) var generation: UInt64 = 0
    /// The data, in the order of the request: disjoint, inside guest memory, outside the queue
    /// area. Neighbours that are adjacent in memory are one range. Empty where the request is
    /// invalid. A copy that outlives the request costs the next one an allocation.
    public private(set) var ranges: [PageRange] = []
    /// The length of the data.
    public var byteCount: ByteCount { PageCount(pageCount).bytes }

    /// Where in the queue area the status goes; nil where the chain named no valid place.
    var statusOffset: Int?

    private var pageCount: UInt64 = 0
    private var isAscending = true
    private var overlaps: OverlapCheck

    public init(for layout: VirtqueueLayout) {
        ranges.reserveCapacity(layout.queueSize)
        overlaps = OverlapCheck(capacity: layout.queueSize)
    }

    mutating func start(head: UInt16) {
        self.head = head
        generation = 0
        statusOffset = nil
        discardData()
    }

    mutating func discardData() {
        ranges.removeAll(keepingCapacity: true)
        pageCount = 0
        isAscending = true
    }

    mutating func append(_ range: PageRange) {
        pageCount += range.count.rawValue
        guard let last = ranges.last else { return ranges.append(range) }
        if last.upper == range.lower {
            ranges[ranges.count - 1] = PageRange(
                start: last.lower, count: last.count.rawValue + range.count.rawValue)
        } else {
            if range.lower < last.upper { isAscending = false }
            ranges.append(range)
        }
    }

    /// What only the whole of the data shows.
    mutating func checkData() throws(BadRequest) {
        if ranges.isEmpty { throw .noData }
        // Ascending ranges are disjoint as they stand.
        if !isAscending, let gfn = overlaps.firstOverlap(in: ranges) { throw .overlappingData(gfn) }
    }
}
