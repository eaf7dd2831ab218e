import DmaLinux
import Glibc
import Testing

@testable import VhostUser

@Suite struct QueueTests {
    private static let user = SharedGuest.userStart

    /// What is wrong with a queue of 8 entries at these addresses, in 16 pages; nil where nothing is.
    private func fault(_ addresses: QueueAddresses, size: UInt32 = 8) throws -> QueueFault? {
        let guest = try SharedGuest()
        let session = try Session()
        try session.ask(.setMemoryTable([guest.region]), [guest.memory])
        try session.ask(.setQueueSize(queue: 1, size))
        try session.ask(.setQueueAddresses(queue: 1, addresses))
        let error = try session.refusal(of: .setKick(queue: 1, hasDescriptor: false))
        guard let error else { return nil }
        guard case .queue(1, let fault) = error else { throw error }
        return fault
    }

    private func addresses(
        table: UInt64 = 0x1000, available: UInt64 = 0x2000, used: UInt64 = 0x3000
    ) -> QueueAddresses {
        QueueAddresses(
            descriptorTable: Self.user &+ table, usedRing: Self.user &+ used,
            availableRing: Self.user &+ available)
    }

    @Test func ringsLieWhollyInMemoryAndAligned() throws {
        let end: UInt64 = 16 * 4096
        #expect(try fault(addresses()) == nil)
        #expect(try fault(addresses(table: 0, available: 128, used: 152)) == nil)
        #expect(try fault(addresses(table: end - 128)) == nil)
        #expect(try fault(addresses(available: end - 22)) == nil)
        #expect(try fault(addresses(used: end - 72)) == nil)
        for place in [end - 112, end, UInt64(bitPattern: -16), UInt64(bitPattern: -0x1000)] {
            let outside = QueueFault.outsideMemory(.descriptorTable, Self.user &+ place, 128)
            #expect(try fault(addresses(table: place)) == outside)
        }
        #expect(
            try fault(addresses(available: end - 20))
                == .outsideMemory(.availableRing, Self.user + end - 20, 22))
        #expect(
            try fault(addresses(used: end - 68))
                == .outsideMemory(.usedRing, Self.user + end - 68, 70))
        #expect(
            try fault(addresses(table: 8)) == .misaligned(.descriptorTable, Self.user + 8, 16))
        #expect(
            try fault(addresses(available: 1)) == .misaligned(.availableRing, Self.user + 1, 2))
        #expect(try fault(addresses(used: 2)) == .misaligned(.usedRing, Self.user + 2, 4))
        let last = UInt64.max & ~15
        #expect(
            try fault(
                QueueAddresses(descriptorTable: last, usedRing: Self.user, availableRing: Self.user)
            ) == .outsideMemory(.descriptorTable, last, 128))
        // As large as queues get, it does not fit.
        #expect(
            try fault(addresses(), size: 32768)
                == .outsideMemory(.descriptorTable, Self.user + 0x1000, 524_288))
    }

    /// Two regions that touch for the front-end need not touch here.
    @Test func aRingDoesNotCrossABorder() throws {
        let files = try [SharedGuest(pages: 4), SharedGuest(pages: 4)]
        let session = try Session()
        try session.ask(
            .setMemoryTable(
                (0..<2).map {
                    RegionDescription(
                        guestAddress: UInt64($0) * 0x4000, byteCount: 0x4000,
                        userAddress: Self.user + UInt64($0) * 0x4000)
                }), files.map(\.memory))
        try session.ask(.setQueueSize(queue: 0, 8))
        try session.ask(.setQueueAddresses(queue: 0, addresses(table: 0x4000 - 16)))
        #expect(
            try session.refusal(of: .setKick(queue: 0, hasDescriptor: false))
                == .queue(0, .outsideMemory(.descriptorTable, Self.user + 0x4000 - 16, 128)))
    }

    @Test func whatAQueueNeedsToStart() throws {
        let guest = try SharedGuest()
        let kick = Request.setKick(queue: 0, hasDescriptor: false)
        var session = try Session()
        #expect(try session.refusal(of: kick) == .queue(0, .hasNoSize))
        session = try Session()
        try session.ask(.setQueueSize(queue: 0, 8))
        #expect(try session.refusal(of: kick) == .queue(0, .hasNoAddresses))
        session = try Session()
        // In another order than QEMU's.
        try session.ask(.setQueueAddresses(queue: 0, guest.addresses))
        try session.ask(.setQueueSize(queue: 0, 8))
        try session.ask(.setMemoryTable([guest.region]), [guest.memory])
        #expect(try session.ask(kick) == [.queueStarted(0)])
    }

    @Test(arguments: [UInt32(0), 3, 129, 65536, .max])
    func sizesThatAreNone(size: UInt32) throws {
        let session = try Session()
        #expect(
            try session.refusal(of: .setQueueSize(queue: 0, size)) == .queue(0, .size(size)))
    }

    @Test func numbersThatAreTooLarge() throws {
        var session = try Session()
        try session.ask(.setQueueBase(queue: 0, 0xFFFF))
        #expect(session.queues[0].base == 0xFFFF)
        #expect(
            try session.refusal(of: .setQueueBase(queue: 0, 0x10000))
                == .queue(0, .base(0x10000)))
        session = try Session()
        try session.front.send(
            MessageHeader(.setQueueEnabled, payloadByteCount: 8).bytes + [1, 0, 0, 0, 2, 0, 0, 0])
        #expect(throws: ProtocolError.queue(1, .enabledBy(2))) { try session.pump() }
    }

    @Test(arguments: [UInt32(2), 255, 256, .max])
    func queuesThatThereAreNot(queue: UInt32) throws {
        let byte = UInt8(truncatingIfNeeded: queue)
        var requests: [Request] = [
            .setQueueSize(queue: queue, 8), .setQueueBase(queue: queue, 0),
            .setQueueAddresses(queue: queue, addresses()), .getQueueBase(queue: queue),
            .setQueueEnabled(queue: queue, true),
        ]
        if byte >= 2 {
            requests += [
                .setKick(queue: byte, hasDescriptor: false),
                .setCall(queue: byte, hasDescriptor: false),
                .setError(queue: byte, hasDescriptor: false),
            ]
        }
        for request in requests {
            let session = try Session()
            let error = try session.refusal(of: request)
            guard case .queue(_, .outOfRange(limit: 2)) = error else {
                Issue.record("\(request): \(String(describing: error))")
                return
            }
        }
    }

    // MARK: Running

    @Test func whatMayNotChangeWhileAQueueRuns() throws {
        let guest = try SharedGuest()
        for request in [
            Request.setQueueSize(queue: 0, 8), .setQueueBase(queue: 0, 0),
            .setQueueAddresses(queue: 0, addresses(table: 0x1010)),
            .setQueueAddresses(queue: 0, addresses(available: 0x2010)),
            .setQueueAddresses(queue: 0, addresses(used: 0x3010)),
        ] {
            var session = try Session()
            try session.startQueue(guest)
            #expect(try session.refusal(of: request) == .queue(0, .isRunning(request.code)))
            // The other queue is free.
            session = try Session()
            try session.startQueue(guest, queue: 1)
            #expect(try session.refusal(of: request) == nil)
        }
    }

    @Test func aQueueStopsWhereTheDeviceSays() throws {
        let guest = try SharedGuest()
        let session = try Session()
        func base(_ session: Session) throws -> [UInt8]? {
            try session.ask(.getQueueBase(queue: 0))
            return try session.front.reply()?.payload
        }
        try session.ask(.setQueueBase(queue: 0, 7))
        #expect(try base(session) == [0, 0, 0, 0, 7, 0, 0, 0])
        try session.startQueue(guest)
        session.stopsAt = 0x1234
        #expect(try base(session) == [0, 0, 0, 0, 0x34, 0x12, 0, 0])
        let queue = session.queues[0]
        #expect(!queue.isStarted && queue.kick == nil && queue.base == 0x1234)
        // Now it may be set up anew, or go on.
        try session.ask(.setQueueSize(queue: 0, 16))
        #expect(
            try session.ask(.setKick(queue: 0, hasDescriptor: false)) == [.queueStarted(0)])
        #expect(session.queues[0].rings?.size == 16)
    }

    @Test func aKickThatIsReplacedIsClosed() throws {
        let guest = try SharedGuest()
        let session = try Session()
        try session.startQueue(guest)
        let (first, second) = (try OwnedDescriptor(.event()), try OwnedDescriptor(.event()))
        for event in [first, second] {
            #expect(
                try session.ask(.setKick(queue: 0, hasDescriptor: true), [event])
                    == [.queueChanged(0)])
        }
        #expect(copies(of: first) == 1 && copies(of: second) == 2)
        // Without one, the ring is looked at.
        try session.ask(.setKick(queue: 0, hasDescriptor: false))
        #expect(copies(of: second) == 1 && session.queues[0].isStarted)
    }

    /// What could make this process wait, or raise a signal, is none.
    @Test func onlyEventsAreTaken() throws {
        let guest = try SharedGuest()
        var pipe: [Int32] = [-1, -1]
        #expect(Glibc.pipe(&pipe) == 0)
        let (left, right) = try StreamSocket.pair()
        defer { for number in pipe + [left, right] { close(number) } }
        for number: any HasDescriptor in [guest.memory, pipe[0], pipe[1], left] {
            let before = copies(of: number)
            for request in [
                Request.setKick(queue: 0, hasDescriptor: true),
                .setCall(queue: 0, hasDescriptor: true), .setError(queue: 0, hasDescriptor: true),
            ] {
                let session = try Session()
                #expect(
                    try session.refusal(of: request, [number]) == .queue(0, .notAnEvent))
                #expect(copies(of: number) == before)
            }
        }
    }

    /// An event that waits, and is full.
    @Test func anEventOfTheFrontEndNeverWaits() throws {
        let event = try OwnedDescriptor(.event())
        #expect(fcntl(event.raw, F_SETFL, fcntl(event.raw, F_GETFL) & ~O_NONBLOCK) == 0)
        let session = try Session()
        try session.ask(.setCall(queue: 0, hasDescriptor: true), [event])
        var most = UInt64.max - 1
        #expect(write(event.raw, &most, 8) == 8)
        session.queues[0].call?.notify()
        #expect(read(event.raw, &most, 8) == 8 && most == UInt64.max - 1)
    }

    // MARK: Enabled

    @Test func aQueueIsEnabledAtItsStartOrByRequest() throws {
        let guest = try SharedGuest()
        var session = try Session()
        #expect(!session.mayServe(0))
        try session.startQueue(guest)
        #expect(session.mayServe(0) && !session.mayServe(1))
        #expect(
            try session.ask(.setQueueEnabled(queue: 0, false)) == [.queueChanged(0)])
        #expect(!session.mayServe(0))

        session = try Session()
        try session.acknowledgeEverything()
        try session.startQueue(guest)
        #expect(!session.mayServe(0))
        try session.ask(.setQueueEnabled(queue: 0, true))
        #expect(session.mayServe(0))
        try session.ask(.getQueueBase(queue: 0))
        #expect(!session.mayServe(0))
    }
}
