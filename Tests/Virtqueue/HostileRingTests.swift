import GuestMemory
import Testing
import Virtqueue

/// Available rings that cannot be believed.
@Suite struct HostileRingTests {
    @Test(arguments: [UInt16(9), 10, 0x8000, 0xffff])
    func availableIndexRunsAhead(index: UInt16) throws {
        let guest = try hostileGuest()
        guest.setChain(guest.validChain(pages: [40]))
        var device = Device(guest)
        guest.store(index, at: guest.layout.availableRingOffset + 2)
        let broken = NextRequest.broken(.availableIndexRanAhead(by: Int(index), room: 8))
        #expect(device.next() == broken)
        // Nothing but a reset helps, not even a good index.
        guest.store(UInt16(1), at: guest.layout.availableRingOffset + 2)
        #expect(device.next() == broken)
        let used = guest.usedIndex
        #expect(used == 0)
    }

    /// Requests in flight take their part of the queue, and the index never goes back (2.7.6.1).
    @Test(arguments: [(UInt16(8), 5, 5), (9, 6, 5), (2, 0xffff, 5), (0, 0xfffd, 5)])
    func availableIndexWithRequestsInFlight(index: UInt16, ahead: Int, room: Int) throws {
        let guest = try hostileGuest()
        guest.setChain(guest.validChain(pages: [40]))
        var device = Device(guest)
        for index in 0..<UInt16(3) {
            guest.publish(head: 0, index: index)
            #expect(device.next() == .valid)
        }
        guest.store(index, at: guest.layout.availableRingOffset + 2)
        let answer = device.next()
        #expect(
            answer
                == (ahead <= room
                    ? .valid : .broken(.availableIndexRanAhead(by: ahead, room: room))))
        // What was taken before can still be completed.
        device.complete()
        let used = guest.usedIndex
        #expect(used == 1)
    }

    @Test(arguments: [UInt16(8), 0xffff])
    func headOutOfRange(head: UInt16) throws {
        let guest = try hostileGuest()
        var device = Device(guest)
        guest.publish(head: head, index: 0)
        #expect(device.next() == .broken(.headOutOfRange(head)))
    }
}
