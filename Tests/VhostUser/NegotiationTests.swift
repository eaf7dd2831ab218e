import DmaLinux
import Testing

@testable import VhostUser

@Suite struct NegotiationTests {
    @Test func whatIsOffered() throws {
        let session = try Session()
        let features = VirtioFeatures(rawValue: try #require(try session.word(.getFeatures)))
        #expect(
            features == [
                .version1, .indirectDescriptors, .eventIndex, .segmentLimit, .blockSize, .flush,
                .multipleQueues, .logAll, .protocolFeatures,
            ])
        #expect(features.rawValue == 0x1_7400_1244)
        // MQ, LOG_SHMFD, REPLY_ACK, BACKEND_REQ, CONFIG, INFLIGHT_SHMFD, CONFIGURE_MEM_SLOTS, STATUS
        #expect(try session.word(.getProtocolFeatures) == 0x1_922B)
        try session.acknowledgeEverything()
        #expect(try session.word(.getQueueCount) == 2)
        #expect(try session.word(.getMemorySlotLimit) == 509)

        let confidential = try Session(
            BlockDevice(capacityInSectors: 1, offersAccessPlatform: true))
        let offered = VirtioFeatures(rawValue: try #require(try confidential.word(.getFeatures)))
        #expect(offered.symmetricDifference(features) == .accessPlatform)
    }

    @Test func whatWasNotOffered() throws {
        var session = try Session()
        #expect(
            try session.refusal(of: .setFeatures([.version1, .accessPlatform]))
                == .featuresNotOffered(1 << 33))
        session = try Session()
        #expect(
            try session.refusal(of: .setProtocolFeatures(ProtocolFeatures(rawValue: 1 << 14 | 1)))
                == .protocolFeaturesNotOffered(1 << 14))
    }

    @Test(arguments: RequestTests.all)
    func whatNeedsAFeatureOfTheProtocol(request: Request) throws {
        guard let (feature, name) = request.code.neededFeature else { return }
        let guest = try SharedGuest()
        let descriptors = Array(
            repeating: guest.memory, count: request.descriptorCounts.lowerBound)
        let session = try Session()
        try session.ask(.setProtocolFeatures(ProtocolFeatures.all.subtracting(feature)))
        #expect(
            try session.refusal(of: request, descriptors)
                == .notAcknowledged(request.code, feature: name))
        #expect(copies(of: guest.memory) == 1)
    }

    @Test(arguments: RequestTests.all)
    func noRequestComesWithTheFlagOfAReply(request: Request) throws {
        var bytes = request.bytes()
        bytes[4] |= 4
        let session = try Session()
        try session.front.send(bytes)
        #expect(throws: ProtocolError.replyFlag(request.code)) { try session.pump() }
    }

    // MARK: Acknowledged requests

    @Test func aRequestIsAcknowledgedWhereThatWasAgreedOn() throws {
        let session = try Session()
        #expect(try session.word(.setOwner, needsReply: true) == nil)
        try session.ask(.setProtocolFeatures(.replyAcknowledge))
        #expect(try session.word(.setOwner) == nil)
        #expect(try session.word(.setOwner, needsReply: true) == 0)
        // A request with a reply of its own gets that alone.
        #expect(
            try session.word(.getFeatures, needsReply: true)
                == session.backend.device.features.rawValue)
        #expect(try session.front.reply() == nil)
    }

    @Test func aRefusalIsToldToAFrontEndThatWaits() throws {
        let session = try Session()
        #expect(session.backend.refusal(of: .setFeatures, needsReply: true) == nil)
        try session.ask(.setProtocolFeatures(.replyAcknowledge))
        #expect(session.backend.refusal(of: .setFeatures, needsReply: false) == nil)
        let reply = session.backend.refusal(of: .setFeatures, needsReply: true)
        #expect(
            reply?.bytes == [2, 0, 0, 0, 5, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0])
    }

    // MARK: Features while queues run

    @Test func onlyTheLogMayChangeWhileAQueueRuns() throws {
        let session = try Session()
        try session.acknowledgeEverything()
        try session.startQueue(try SharedGuest())
        let now = session.features
        #expect(try session.ask(.setFeatures(now.union(.logAll))) == [.featuresChanged])
        #expect(try session.ask(.setFeatures(now)) == [.featuresChanged])
        #expect(
            try session.refusal(of: .setFeatures(now.subtracting(.eventIndex)))
                == .featuresWhileRunning)
    }

    // MARK: Status

    @Test func theStatusIsKept() throws {
        let session = try Session()
        try session.acknowledgeEverything()
        #expect(try session.word(.getStatus) == 0)
        #expect(try session.ask(.setStatus(0x0F)) == [.statusChanged(0x0F)])
        #expect(try session.word(.getStatus) == 0x0F)
        #expect(try session.refusal(of: .setStatus(0x100)) == .status(0x100))
    }

    /// QEMU 7.2 says that the device is reset before it asks where the queues stop, also where a guest only pauses.
    @Test func aResetStopsAllQueuesAndKnowsWhere() throws {
        let session = try Session()
        try session.acknowledgeEverything()
        let guest = try SharedGuest()
        try session.startQueue(guest)
        session.stopsAt = 77
        #expect(try session.ask(.setStatus(0), needsReply: true) == [.stopQueues([0])])
        #expect(try session.front.reply()?.word == 0)
        #expect(!session.isRunning && session.queues[0].kick == nil)
        #expect(try session.ask(.getQueueBase(queue: 0)) == [])
        #expect(try session.front.reply()?.payload == [0, 0, 0, 0, 77, 0, 0, 0])
        // The front-end says what has changed, and starts it again.
        #expect(
            try session.ask(.setKick(queue: 0, hasDescriptor: false)) == [.queueStarted(0)])
        #expect(try session.ask(.getQueueBase(queue: 0)) == [.stopQueues([0])])
        #expect(try session.ask(.setStatus(0)) == [.statusChanged(0)])
    }

    // MARK: Configuration

    private static let device = BlockDevice(
        capacityInSectors: 0x0102_0304_0506_0708, segmentLimit: 126, blockSize: 4096,
        queueCount: 3)

    private func ask(_ offset: UInt32, _ count: Int) throws -> [UInt8]? {
        let session = try Session(Self.device)
        try session.ask(.setProtocolFeatures(.configuration))
        let access = ConfigurationAccess(
            offset: offset, flags: 2, bytes: [UInt8](repeating: 0, count: count))
        try session.ask(.getConfiguration(access))
        guard let reply = try session.front.reply() else { return nil }
        #expect(reply.code == .getConfiguration)
        if reply.payload.isEmpty { return [] }
        let expected = Request.getConfiguration(access).payload[..<12]
        #expect(reply.payload[..<12] == expected)
        return Array(reply.payload[12...])
    }

    /// VIRTIO 1.2, 5.2.4, by hand.
    @Test func theConfigurationIsThatOfABlockDevice() throws {
        let bytes = try #require(try ask(0, 60))
        #expect(bytes[0..<8] == [8, 7, 6, 5, 4, 3, 2, 1])
        #expect(bytes[12..<16] == [126, 0, 0, 0])
        #expect(bytes[20..<24] == [0, 16, 0, 0])
        #expect(bytes[34..<36] == [3, 0])
        #expect(bytes.count == 60 && bytes[36...].allSatisfy { $0 == 0 })
        #expect(try ask(12, 4) == [126, 0, 0, 0])
        #expect(try ask(255, 1) == [0])
        #expect(try ask(0, 256)?.count == 256)
    }

    /// An answer without a payload says that there is nothing.
    @Test(arguments: [(UInt32(0), 257), (256, 1), (257, 0), (.max, 1), (1, 256)])
    func theConfigurationEnds(offset: UInt32, count: Int) throws {
        #expect(try ask(offset, count) == [])
    }

    @Test func noFieldCanBeWritten() throws {
        let session = try Session(Self.device)
        try session.ask(.setProtocolFeatures([.configuration, .replyAcknowledge]))
        let there = Array(Self.device.configuration[0..<8])
        let other = [UInt8](repeating: 0, count: 8)
        func set(_ bytes: [UInt8], isMigration: Bool) -> Request {
            .setConfiguration(
                ConfigurationAccess(offset: 0, flags: isMigration ? 1 : 0, bytes: bytes))
        }
        for (request, isGood) in [
            (set(there, isMigration: false), false), (set(there, isMigration: true), true),
            (set(other, isMigration: true), false),
        ] {
            // The connection goes on, denied or not.
            #expect(try session.ask(request, needsReply: true).isEmpty == isGood)
            let reply = try session.front.reply()
            #expect(reply?.word == (isGood ? 0 : 1))
        }
    }

    @Test func thatTheFrontEndOwnsOrResetsMeansNothing() throws {
        let session = try Session()
        try session.acknowledgeEverything()
        try session.startQueue(try SharedGuest())
        #expect(try session.ask(.setOwner) == [])
        #expect(try session.ask(.resetOwner) == [])
        #expect(session.isRunning)
    }

    /// Both are kept, or closed, and nothing else comes of them.
    @Test func channelsOfWhichNothingIsMade() throws {
        let (channel, event) = (try OwnedDescriptor(.event()), try OwnedDescriptor(.event()))
        do {
            let session = try Session()
            try session.acknowledgeEverything()
            try session.ask(.setLogDescriptor, [event])
            try session.ask(.setBackendChannel, [channel])
            #expect(copies(of: event) == 1 && copies(of: channel) == 2)
            try session.ask(.setBackendChannel, [channel])
            #expect(copies(of: channel) == 2)
        }
        #expect(copies(of: channel) == 1)
    }
}
