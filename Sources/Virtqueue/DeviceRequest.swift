import GuestMemory

/// A run of bytes of a request's data, in one region of guest memory.
public struct DataSegment: BitwiseCopyable {
    /// Guest physical.
    public let address: UInt64
    public fileprivate(set) var byteCount: UInt64
    /// The same here: to be touched under a pin only.
    public let pointer: UnsafeMutableRawPointer
}

/// A request as the device took it: checked, and copied to where no guest can change it.
///
/// Made once, with room for the longest chain, and filled again for each request. Where its data lies in this process
/// holds until the table of regions changes.
public struct DeviceRequest: ~Copyable {
    /// The chain's head, which names the request in the used ring.
    public private(set) var head: UInt16 = 0
    /// Nil where it is none that a device knows, or the header could not be read.
    public internal(set) var type: RequestType?
    /// Of 512 bytes, whatever the device takes them for.
    public internal(set) var sector: UInt64 = 0
    /// How many segments the data has; none where the request is invalid.
    public private(set) var segmentCount = 0
    /// The pages to pin for the request, in its order: those of the data, and behind them the status's where that is not
    /// registered. They may overlap; a range that touches the one before it is merged with it. A copy that outlives the
    /// request costs the next one an allocation.
    public private(set) var ranges: [PageRange] = []
    /// The length of the data, and of all pages in `ranges`.
    public private(set) var byteCount = ByteCount(0)
    public private(set) var pageCount = PageCount(0)
    /// Bytes of data that the guest lets the device write.
    public private(set) var writableByteCount: UInt64 = 0

    /// Whether the status has a place that is not registered, and is not written yet.
    public private(set) var statusNeedsPin = false
    /// Where the status goes; nil where the chain named no place for it.
    private var statusPlace: StatusPlace?
    private var hasStatus = false
    @usableFromInline let segments: UnsafeMutableBufferPointer<DataSegment>
    /// What is copied of guest memory: a header, and behind it an indirect table.
    private let copies: UnsafeMutableRawPointer
    /// Of the last segment, one past its end and its region; of the last range, one past its end.
    private var end: UInt64 = 0
    private var region = -1
    private var upper: UInt64 = 0

    private struct StatusPlace {
        let address: UInt64
        let pointer: UnsafeMutableRawPointer
        /// Its page; nil where that is registered.
        let page: PageRange?
    }

    /// For a queue of so many entries.
    public init(queueSize: Int) {
        segments = .allocate(capacity: queueSize)
        ranges.reserveCapacity(queueSize)
        copies = .allocate(
            byteCount: Descriptor.byteCount * (queueSize + 1), alignment: Descriptor.byteCount)
    }

    deinit {
        segments.deallocate()
        copies.deallocate()
    }

    /// The data, in the order of the request: inside guest memory, of any length and at any address. Neighbours that are
    /// adjacent in memory are one.
    @inlinable
    public func segment(_ index: Int) -> DataSegment {
        precondition(index < segmentCount, "segment \(index) of \(segmentCount)")
        return segments[index]
    }

    var headerCopy: UnsafeMutableRawPointer { copies }
    var tableCopy: UnsafeMutableRawPointer { copies + Descriptor.byteCount }

    mutating func start(head: UInt16) {
        self.head = head
        type = nil
        sector = 0
        statusPlace = nil
        statusNeedsPin = false
        hasStatus = false
        writableByteCount = 0
        discardData()
    }

    mutating func discardData() {
        segmentCount = 0
        ranges.removeAll(keepingCapacity: true)
        byteCount = ByteCount(0)
        pageCount = PageCount(0)
        region = -1
    }

    mutating func noteWritable(_ byteCount: UInt32) { writableByteCount += UInt64(byteCount) }

    /// Takes data that lies in one region.
    mutating func append(_ address: UInt64, _ count: UInt64, at location: GuestView.Location) {
        let isNeighbour = location.region == region && address == end
        cover(address, count, in: location.region)
        byteCount = ByteCount(byteCount.rawValue + count)
        end = address + count
        var segment = DataSegment(address: address, byteCount: count, pointer: location.pointer)
        if isNeighbour {
            segmentCount -= 1
            let last = segments[segmentCount]
            segment = DataSegment(
                address: last.address, byteCount: last.byteCount + count, pointer: last.pointer)
        }
        segments.initializeElement(at: segmentCount, to: segment)
        segmentCount += 1
    }

    /// Adds the pages of some bytes to those to pin.
    ///
    /// Merged are those that begin where the last range ends, or within its last page, so that whoever walks ranges and
    /// segments side by side meets the bytes of both in the same order. No range reaches from one region into another.
    @inline(__always)
    private mutating func cover(_ address: UInt64, _ count: UInt64, in region: Int) {
        let lower = address / pageSize
        let newUpper = (address + count - 1) / pageSize + 1
        if region == self.region, lower == upper || lower + 1 == upper {
            let last = ranges[ranges.count - 1]
            pageCount = PageCount(pageCount.rawValue + newUpper - upper)
            ranges[ranges.count - 1] = PageRange(start: last.lower, count: newUpper - last.lower)
        } else {
            pageCount = PageCount(pageCount.rawValue + newUpper - lower)
            ranges.append(PageRange(start: lower, count: newUpper - lower))
            self.region = region
        }
        upper = newUpper
    }

    // MARK: The status

    mutating func placeStatus(_ address: UInt64, registered pointer: UnsafeMutableRawPointer) {
        statusPlace = StatusPlace(address: address, pointer: pointer, page: nil)
    }

    mutating func placeStatus(_ address: UInt64, at location: GuestView.Location) {
        statusNeedsPin = true
        statusPlace = StatusPlace(
            address: address, pointer: location.pointer,
            page: PageRange(start: address / pageSize, count: 1))
        cover(address, 1, in: location.region)
    }

    /// The page that has to be pinned for the status; nil where it needs none.
    public var statusPage: PageRange? { statusNeedsPin ? statusPlace?.page : nil }

    /// Where the status was written, for the guest; nil where it was not.
    public var writtenStatusAddress: UInt64? { hasStatus ? statusPlace?.address : nil }

    /// Tells the driver how the request ended. Where the status needs a pin, the caller has it. What a device has
    /// done before is ordered before it once the request is completed.
    public mutating func write(_ status: RequestStatus) {
        guard let statusPlace, !hasStatus else { return }
        status.write(to: statusPlace.pointer)
        hasStatus = true
        statusNeedsPin = false
    }

    /// What the used ring says of the request of which so much data was written.
    func usedLength(bytesWritten: UInt64) -> UInt32 {
        precondition(
            bytesWritten <= writableByteCount,
            "\(bytesWritten) bytes written of \(writableByteCount)")
        let status: UInt64 = hasStatus && bytesWritten == writableByteCount ? 1 : 0
        return UInt32(clamping: bytesWritten + status)
    }
}
