import Glibc
import GuestMemory
import Linux
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

/// Guest memory of which the device may touch nothing but the queue area: any other access faults.
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
    private var queue = DeviceQueue(layout, at: area.start, in: guest)
    private var request = DeviceRequest(for: layout)

    /// Takes and completes a request; false where there is none.
    mutating func serve() -> Bool {
        switch queue.next(into: &request) {
        case .empty, .broken: return false
        case .invalid: queue.complete(request, with: StatusRecord(.badRequest))
        case .valid:
            if let complaint = complaint(of: request.ranges) { fatalError(complaint) }
            queue.complete(
                request, with: StatusRecord(.ok, bytesWritten: request.byteCount.rawValue))
        }
        return true
    }
}

/// What is wrong with the data of a request that the device accepted; nil where nothing is.
private func complaint(of ranges: [PageRange]) -> String? {
    if ranges.isEmpty { return "no data" }
    for (index, range) in ranges.enumerated() {
        if range.upper > guest.pages.rawValue { return "\(range) is outside guest memory" }
        if range.overlaps(area) { return "\(range) overlaps the queue area" }
        for other in ranges[..<index] where other.overlaps(range) {
            return "\(range) overlaps \(other)"
        }
    }
    return nil
}
