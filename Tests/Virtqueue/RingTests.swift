import DmaLinux
import GuestMemory
import Testing
import Virtqueue

/// Rings where somebody else has put them.
@Suite struct RingTests {
    private typealias D = RawDescriptor

    @Test(arguments: [0, 3, 100, 65536, -4])
    func refusesQueueSize(_ size: Int) {
        #expect(throws: RingError.queueSize(size)) {
            try VirtqueueRings(queueSize: size, descriptorTable: 0, availableRing: 0, usedRing: 0)
        }
    }

    @Test func refusesMisalignedParts() {
        for address in [8, 17] as [UInt64] {
            #expect(throws: RingError.misaligned(.descriptorTable, address)) {
                try VirtqueueRings(
                    queueSize: 8, descriptorTable: address, availableRing: 0, usedRing: 0)
            }
        }
        #expect(throws: RingError.misaligned(.availableRing, 4097)) {
            try VirtqueueRings(
                queueSize: 8, descriptorTable: 0, availableRing: 4097, usedRing: 0)
        }
        #expect(throws: RingError.misaligned(.usedRing, 4098)) {
            try VirtqueueRings(
                queueSize: 8, descriptorTable: 0, availableRing: 4096, usedRing: 4098)
        }
    }

    /// Of two regions, neighbours for the guest: [0, 32) and [32, 64) pages.
    private func guest() throws -> GuestView {
        func region(_ start: UInt64) throws -> GuestRegion {
            try GuestRegion(
                PageRange(start: start, count: 32),
                in: try SharedMapping.create(name: "ring-test", byteCount: 32 * 4096))
        }
        return try GuestView([try region(0), try region(32)])
    }

    /// The end of each part is looked at, whatever address it is said to have.
    @Test func partsOutsideGuestMemoryAreRefused() throws {
        let view = try guest()
        let area = PageRange(start: 20, count: 2)
        let (end, border) = (64 * pageSize, 32 * pageSize)
        let places: [(VirtqueueRings.Part, [UInt64], UInt64)] = [
            (.descriptorTable, [end, end - 112, border - 16, UInt64.max - 15], end - 128),
            (.availableRing, [end, end - 20, border - 2, UInt64.max - 1], end - 22),
            (.usedRing, [end, end - 68, border - 4, UInt64.max - 3], end - 72),
        ]
        for (part, outside, inside) in places {
            for address in outside + [inside] {
                let rings = try VirtqueueRings(
                    queueSize: 8, descriptorTable: part == .descriptorTable ? address : 0,
                    availableRing: part == .availableRing ? address : 4096,
                    usedRing: part == .usedRing ? address : 8192)
                if address == inside {
                    _ = try DeviceQueue(rings, registered: [area], in: view)
                    let pages = try rings.pages(in: view)
                    #expect(pages.map(\.upper).max() == 64)
                    continue
                }
                let refusal = RingError.outsideGuestMemory(part, address)
                #expect(throws: refusal) {
                    _ = try DeviceQueue(rings, registered: [], in: view)
                }
                #expect(throws: refusal) { try rings.pages(in: view) }
            }
        }
        for area in [PageRange(start: 63, count: 2), PageRange(start: 31, count: 2)] {
            let rings = try VirtqueueRings(
                queueSize: 8, descriptorTable: 0, availableRing: 4096, usedRing: 8192)
            #expect(throws: RingError.registered(area)) {
                _ = try DeviceQueue(rings, registered: [area], in: view)
            }
        }
    }

    /// A device goes on where the one before it stopped, past the wrap of the indices too.
    @Test(arguments: [UInt16(0), 5, 0xfffe])
    func aQueueIsTakenOver(from index: UInt16) throws {
        let view = try guestMemory(pages: 64)
        let layout = try VirtqueueLayout(queueSize: 8, dataDescriptors: 6)
        let guest = HandBuiltQueue(view: view, layout: layout, start: GFN(20))
        guest.setChain(guest.validChain(pages: [40]))
        // Two requests were taken before and are not completed: their entries are still the old device's.
        var device = try Device(
            layout.rings(at: GFN(20)), registered: [layout.area(at: GFN(20))], in: view,
            available: index, used: index &- 2)
        let inFlight = device.queue.inFlight
        #expect(inFlight == 2)
        for number in 0..<3 as Range<UInt16> {
            guest.publish(head: 0, index: index &+ number)
            #expect(device.next() == .valid)
            #expect(device.next() == .empty)
        }
        for number in 0..<5 as Range<UInt16> {
            device.complete(.ioError)
            let (used, element) = (guest.usedIndex, guest.usedElement(index &- 2 &+ number))
            #expect(used == index &- 1 &+ number && element.id == 0)
        }
    }
}
