import Testing

@testable import VhostUser

@Suite struct RequestTests {
    private static let region = RegionDescription(
        guestAddress: 1 << 32, byteCount: 0x20000, userAddress: 0x7f00_0000_0000, offset: 0x3000)
    private static let addresses = QueueAddresses(
        descriptorTable: 0x1000, usedRing: 0x3000, availableRing: 0x2000, usedRingLog: 0x5000)
    private static let access = ConfigurationAccess(offset: 8, flags: 0xFF01, bytes: [1, 2, 3])

    /// One of each kind.
    static let all: [Request] = [
        .getFeatures, .setFeatures([.version1, .flush]), .setOwner, .resetOwner,
        .setMemoryTable([]), .setMemoryTable([region, region]),
        .setLogBase(LogDescription(byteCount: 4096, offset: 64)), .setLogDescriptor,
        .setQueueSize(queue: 1, 256), .setQueueAddresses(queue: 2, addresses),
        .setQueueBase(queue: 3, 0xFFFF), .getQueueBase(queue: 4),
        .setKick(queue: 5, hasDescriptor: true), .setCall(queue: 255, hasDescriptor: false),
        .setError(queue: 0, hasDescriptor: true), .getProtocolFeatures,
        .setProtocolFeatures(.all), .getQueueCount, .setQueueEnabled(queue: 6, true),
        .setBackendChannel, .getConfiguration(access), .setConfiguration(access),
        .getInflight(InflightDescription(queueCount: 4, queueSize: 128)),
        .setInflight(
            InflightDescription(byteCount: 9000, offset: 128, queueCount: 4, queueSize: 128)),
        .getMemorySlotLimit, .addMemoryRegion(region), .removeMemoryRegion(region),
        .setStatus(15), .getStatus,
    ]

    @Test(arguments: all)
    func whatIsSentIsRead(request: Request) throws {
        let bytes = request.bytes(needsReply: true)
        let header = try MessageHeader(decoding: Array(bytes[..<12]))
        #expect(header.code == request.code && header.needsReply && !header.isReply)
        #expect(Int(header.payloadByteCount) == bytes.count - 12)
        #expect(try Request(header.code, payload: Array(bytes[12...])) == request)
    }

    /// QEMU's bytes, written out by hand: struct VhostUserMsg on x86-64.
    @Test func theBytesAreThoseOfTheSpecification() {
        #expect(Request.setOwner.bytes() == [3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0])
        #expect(
            Request.setKick(queue: 7, hasDescriptor: false).bytes(needsReply: true)
                == [12, 0, 0, 0, 9, 0, 0, 0, 8, 0, 0, 0, 7, 1, 0, 0, 0, 0, 0, 0])
        #expect(
            Request.setQueueSize(queue: 1, 0x1234).payload == [1, 0, 0, 0, 0x34, 0x12, 0, 0])
        let inflight = InflightDescription(
            byteCount: 2, offset: 3, queueCount: 4, queueSize: 0x0506)
        #expect(
            Request.setInflight(inflight).payload
                == [2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 6, 5, 0, 0, 0, 0])
    }

    /// One byte more or less is another message, but for a table that says how long it is.
    @Test(arguments: all)
    func anotherLengthIsRefused(request: Request) throws {
        let payload = request.payload
        #expect(throws: ProtocolError.self) {
            try Request(request.code, payload: payload + [0])
        }
        for length in 0..<payload.count where length != 20 {
            #expect(throws: ProtocolError.self, "\(request) cut to \(length) bytes") {
                try Request(request.code, payload: Array(payload[..<length]))
            }
        }
    }

    @Test func theInflightPayloadMayLackItsPadding() throws {
        let inflight = InflightDescription(byteCount: 1, offset: 2, queueCount: 3, queueSize: 4)
        let payload = Request.getInflight(inflight).payload
        #expect(
            try Request(.getInflight, payload: Array(payload[..<20])) == .getInflight(inflight))
    }

    /// What is known and not offered has a sentence of its own; nothing is passed over.
    @Test(arguments: RequestCode.allCases)
    func everyCodeIsReadOrRefused(code: RequestCode) {
        let isUnderstood = Self.all.contains { $0.code == code }
        var error: ProtocolError?
        do throws(ProtocolError) { _ = try Request(code, payload: []) } catch let fault {
            error = fault
        }
        #expect((error == .unsupported(code)) == !isUnderstood)
        #expect(ProtocolError.unsupported(code).description.contains(code.name))
    }

    @Test func headersThatAreNone() {
        func refusal(_ words: [UInt32]) -> ProtocolError? {
            do throws(ProtocolError) {
                let bytes = words.flatMap { word in withUnsafeBytes(of: word) { Array($0) } }
                _ = try MessageHeader(decoding: bytes)
                return nil
            } catch { return error }
        }
        #expect(refusal([1, 1, 0]) == nil)
        #expect(refusal([1, 0, 0]) == .version(0))
        #expect(refusal([1, 2, 0]) == .version(2))
        #expect(refusal([0, 1, 0]) == .unknownRequest(0))
        #expect(refusal([41, 1, 0]) == .unknownRequest(41))
        #expect(refusal([.max, 1, 0]) == .unknownRequest(.max))
        #expect(refusal([1, 1, 4096]) == nil)
        #expect(refusal([1, 1, 4097]) == .payloadTooLong(.getFeatures, 4097))
        #expect(refusal([1, 1, .max]) == .payloadTooLong(.getFeatures, .max))
    }

    @Test func aTableOfTooManyRegions() {
        let count = UInt32(MemoryTable.tableLimit) + 1
        for number in [count, UInt32.max] {
            var payload = withUnsafeBytes(of: number) { Array($0) } + [0, 0, 0, 0]
            payload += [UInt8](repeating: 0, count: 32 * Int(count))
            #expect(throws: ProtocolError.memory(.tooMany(limit: MemoryTable.tableLimit))) {
                try Request(.setMemoryTable, payload: payload)
            }
        }
    }

    @Test func aConfigurationWhoseLengthIsNotTheMessages() {
        for count: UInt32 in [0, 2, 4, .max] {
            var payload = Request.getConfiguration(Self.access).payload
            payload.replaceSubrange(4..<8, with: withUnsafeBytes(of: count) { Array($0) })
            #expect(throws: ProtocolError.self) {
                try Request(.getConfiguration, payload: payload)
            }
        }
    }
}
