import DmaLinux
import Glibc
import GuestMemory
import Virtqueue

// The device's side of a virtqueue, against a guest that writes what the fuzzer likes.
//
// An input is a list of stores of nine bytes each: where, then the word (little-endian). Of the first byte, the
// lower six bits choose one of the 64 words of the queue area that matter; with the top bit set, the device takes
// and completes a request before the store; with the one below, the store is not made at once but while the device
// reads, each just before another of its accesses to the queue.

private let layout = try! VirtqueueLayout(queueSize: 8, dataDescriptors: 6)
private let area = layout.area(at: GFN(20))
private let guest = makeGuest(pages: 64)
private var words: UnsafeMutableBufferPointer<UInt64> {
    guest.bytes(of: area).bindMemory(to: UInt64.self)
}

/// The rings, the indirect table and the records are neighbours but for the end of the rings' last page.
private let recordWord = layout.recordsOffset / 8
private let ringWords = 64 - 8
/// What a device does for one store at most: it serves a full ring of the longest chains.
private let mostAccesses = layout.queueSize * 8 * layout.queueSize

/// Guest memory of which the device may touch nothing but the queue area, and what its reader copies: any other access
/// faults.
private func makeGuest(pages: UInt64) -> GuestView {
    let mapping = try! SharedMapping.create(name: "fuzz", byteCount: Int(pages * pageSize))
    let guest = GuestView(mapping)
    for data in [
        PageRange(start: 0, count: area.lower),
        PageRange(start: area.upper, count: pages - area.upper),
    ] {
        let bytes = guest.bytes(of: data)
        precondition(mprotect(bytes.baseAddress, bytes.count, PROT_NONE) == 0)
    }
    return guest
}

@c(LLVMFuzzerTestOneInput)
public func fuzzVirtqueue(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = UnsafeRawBufferPointer(start: start, count: count)
    var device = Device()
    let words = words
    words.update(repeating: 0)
    var (late, accesses) = ([Int](), 0)
    func make(_ store: Int) {
        let index = Int(input[9 * store] & 0x3F)
        words[index < ringWords ? index : recordWord + index - ringWords] =
            input.loadUnaligned(fromByteOffset: 9 * store + 1, as: UInt64.self)
        accesses = 0
    }
    guestMoves = {
        accesses += 1
        precondition(accesses <= mostAccesses, "the device reads on and on")
        if !late.isEmpty { make(late.removeFirst()) }
    }
    defer { guestMoves = {} }
    for store in 0..<count / 9 {
        if input[9 * store] & 0x80 != 0 { _ = device.serve() }
        if input[9 * store] & 0x40 != 0 { late.append(store) } else { make(store) }
    }
    while device.serve() {}
    return 0
}

private struct Device: ~Copyable {
    private var queue = try! DeviceQueue(
        layout.rings(at: area.start), registered: [area], in: guest)
    private var request = DeviceRequest(queueSize: layout.queueSize)
    private var reader = Reader()

    /// Takes and completes a request; false where there is none.
    mutating func serve() -> Bool {
        switch queue.next(into: &request, from: guest, reading: &reader) {
        case .empty, .broken: return false
        case .unsupported: queue.complete(&request, with: .unsupported)
        case .invalid: queue.complete(&request, with: .ioError)
        case .valid:
            if let complaint = complaint(of: request) { fatalError(complaint) }
            let bytes = request.type == .in ? request.byteCount.rawValue : 0
            queue.complete(&request, with: .ok, bytesWritten: bytes)
        }
        return true
    }
}

/// Refuses what lies in an odd page; of the others it hands over what no guest has put together: the page's number.
private struct Reader: GuestReader {
    mutating func copy(
        _ source: UnsafeRawBufferPointer, in pages: PageRange, to target: UnsafeMutableRawPointer
    ) -> Bool {
        let start = UnsafeRawPointer(guest.bytes(of: pages).baseAddress!)
        precondition(
            source.baseAddress! >= start
                && source.baseAddress! + source.count <= start + Int(pages.count.bytes.rawValue)
                && source.count <= layout.queueSize * 16,
            "\(source) is not in \(pages), or too much")
        precondition(!area.contains(pages), "\(pages) are registered")
        guard pages.lower % 2 == 0 else { return false }
        target.initializeMemory(
            as: UInt8.self, repeating: UInt8(truncatingIfNeeded: pages.lower / 2),
            count: source.count)
        return true
    }
}

/// What is wrong with the data of a request that the device accepted; nil where nothing is.
private func complaint(of request: borrowing DeviceRequest) -> String? {
    guard let type = request.type else { return "no type" }
    let ranges = request.ranges
    if (request.segmentCount == 0) != (type == .flush) {
        return "\(request.segmentCount) segments of \(type)"
    }
    var bytes: UInt64 = 0
    for range in ranges where range.upper > guest.pages.rawValue {
        return "\(range) is outside guest memory"
    }
    for index in 0..<request.segmentCount {
        let segment = request.segment(index)
        let (start, end) = (segment.address, segment.address + segment.byteCount)
        let isPinned = ranges.contains {
            $0.lower * pageSize <= start && end <= $0.upper * pageSize
        }
        if segment.byteCount == 0 || !isPinned {
            return "\(segment.byteCount) bytes at \(start), pinned are \(ranges)"
        }
        if segment.pointer != guest.pointer(to: start, byteCount: segment.byteCount) {
            return "\(start) is not at \(segment.pointer)"
        }
        bytes += segment.byteCount
    }
    if let page = request.statusPage, !ranges.contains(where: { $0.contains(page) }) {
        return "the status in \(page) is not pinned"
    }
    let pages = ranges.reduce(0) { $0 + $1.count.rawValue }
    if bytes != request.byteCount.rawValue || pages != request.pageCount.rawValue {
        return
            "\(bytes) bytes and \(pages) pages, not \(request.byteCount) and \(request.pageCount)"
    }
    return nil
}
