import GuestMemory
import Testing
import Virtqueue

/// A hand-built queue of eight entries in the middle of guest memory.
func hostileGuest(pages: UInt64 = 64) throws -> HandBuiltQueue {
    HandBuiltQueue(
        view: try guestMemory(pages: pages),
        layout: try VirtqueueLayout(queueSize: 8, dataDescriptors: 6), start: GFN(20))
}

/// Publishes the chain at descriptor 0 to a new device and expects its answer: where that is a
/// refusal, without data, and with a status exactly where the chain has a valid place for it.
func expect(
    _ expected: NextRequest, from guest: HandBuiltQueue, tellsStatus: Bool,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    let unwritten: UInt8 = 0xde
    guest.store(unwritten, at: guest.layout.recordsOffset + 32)
    var device = Device(guest)
    guest.publish(head: 0, index: 0)
    let answer = device.next()
    #expect(answer == expected, sourceLocation: sourceLocation)
    guard case .invalid = answer else { return }
    let (segments, ranges) = (device.request.segments, device.request.ranges)
    #expect(segments.isEmpty && ranges.isEmpty, sourceLocation: sourceLocation)
    device.complete(.ioError)
    let status = guest.load(UInt8.self, at: guest.layout.recordsOffset + 32)
    #expect(
        status == (tellsStatus ? RequestStatus.ioError.rawValue : unwritten),
        sourceLocation: sourceLocation)
    let (index, element) = (guest.usedIndex, guest.usedElement(0))
    #expect(index == 1 && element.id == 0, sourceLocation: sourceLocation)
    // The status alone, where the guest lets the device write nothing before it.
    #expect(element.length <= (tellsStatus ? 1 : 0), sourceLocation: sourceLocation)
}
