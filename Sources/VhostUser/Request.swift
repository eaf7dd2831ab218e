/// What a front-end asks, as far as this back-end understands it: a message without its descriptors.
///
/// `init(_:payload:)` and `payload` are each other's inverse: a length that is not the request's own is refused, and
/// nothing else is checked here. Queues are numbers that nobody has compared with anything yet.
public enum Request: Hashable, Sendable {
    case getFeatures
    case setFeatures(VirtioFeatures)
    case setOwner
    case resetOwner
    case setMemoryTable([RegionDescription])
    case setLogBase(LogDescription)
    case setLogDescriptor
    case setQueueSize(queue: UInt32, UInt32)
    case setQueueAddresses(queue: UInt32, QueueAddresses)
    case setQueueBase(queue: UInt32, UInt32)
    case getQueueBase(queue: UInt32)
    case setKick(queue: UInt8, hasDescriptor: Bool)
    case setCall(queue: UInt8, hasDescriptor: Bool)
    case setError(queue: UInt8, hasDescriptor: Bool)
    case getProtocolFeatures
    case setProtocolFeatures(ProtocolFeatures)
    case getQueueCount
    case setQueueEnabled(queue: UInt32, Bool)
    case setBackendChannel
    case getConfiguration(ConfigurationAccess)
    case setConfiguration(ConfigurationAccess)
    case getInflight(InflightDescription)
    case setInflight(InflightDescription)
    case getMemorySlotLimit
    case addMemoryRegion(RegionDescription)
    case removeMemoryRegion(RegionDescription)
    case setStatus(UInt64)
    case getStatus

    public var code: RequestCode {
        switch self {
        case .getFeatures: .getFeatures
        case .setFeatures: .setFeatures
        case .setOwner: .setOwner
        case .resetOwner: .resetOwner
        case .setMemoryTable: .setMemoryTable
        case .setLogBase: .setLogBase
        case .setLogDescriptor: .setLogDescriptor
        case .setQueueSize: .setQueueSize
        case .setQueueAddresses: .setQueueAddresses
        case .setQueueBase: .setQueueBase
        case .getQueueBase: .getQueueBase
        case .setKick: .setKick
        case .setCall: .setCall
        case .setError: .setError
        case .getProtocolFeatures: .getProtocolFeatures
        case .setProtocolFeatures: .setProtocolFeatures
        case .getQueueCount: .getQueueCount
        case .setQueueEnabled: .setQueueEnabled
        case .setBackendChannel: .setBackendChannel
        case .getConfiguration: .getConfiguration
        case .setConfiguration: .setConfiguration
        case .getInflight: .getInflight
        case .setInflight: .setInflight
        case .getMemorySlotLimit: .getMemorySlotLimit
        case .addMemoryRegion: .addMemoryRegion
        case .removeMemoryRegion: .removeMemoryRegion
        case .setStatus: .setStatus
        case .getStatus: .getStatus
        }
    }

    /// How many descriptors belong to it. REM_MEM_REG may bring one, which means nothing (vhost-user.rst).
    public var descriptorCounts: ClosedRange<Int> {
        switch self {
        case .setMemoryTable(let regions): regions.count...regions.count
        case .setLogBase, .setLogDescriptor, .setBackendChannel, .setInflight, .addMemoryRegion:
            1...1
        case .setKick(_, let hasOne), .setCall(_, let hasOne), .setError(_, let hasOne):
            hasOne ? 1...1 : 0...0
        case .removeMemoryRegion: 0...1
        default: 0...0
        }
    }
}

// MARK: From the wire

extension Request {
    public init(_ code: RequestCode, payload: [UInt8]) throws(ProtocolError) {
        var reader = PayloadReader(payload)
        func require(_ expected: Int) throws(ProtocolError) {
            guard payload.count == expected else {
                throw .payloadSize(code, payload.count, expected: expected)
            }
        }
        switch code {
        case .getFeatures, .setOwner, .resetOwner, .setLogDescriptor, .getProtocolFeatures,
            .getQueueCount, .setBackendChannel, .getMemorySlotLimit, .getStatus:
            try require(0)
            self = Self.withoutPayload(code)
        case .setFeatures, .setProtocolFeatures, .setStatus, .setKick, .setCall, .setError:
            try require(8)
            self = Self.oneWord(code, reader.word(UInt64.self))
        case .setQueueSize, .setQueueBase, .getQueueBase, .setQueueEnabled:
            try require(8)
            self = try Self.queueState(code, reader.word(), reader.word())
        case .setQueueAddresses:
            try require(QueueAddresses.byteCount)
            self = .setQueueAddresses(queue: reader.word(), QueueAddresses(&reader))
        case .setMemoryTable:
            guard payload.count >= 8 else {
                throw .payloadSize(code, payload.count, expected: 8)
            }
            let count = Int(reader.word(UInt32.self))
            _ = reader.word(UInt32.self)
            guard count <= MemoryTable.tableLimit else {
                throw .memory(.tooMany(limit: MemoryTable.tableLimit))
            }
            try require(8 + RegionDescription.byteCount * count)
            self = .setMemoryTable((0..<count).map { _ in RegionDescription(&reader) })
        case .addMemoryRegion, .removeMemoryRegion:
            try require(8 + RegionDescription.byteCount)
            _ = reader.word(UInt64.self)
            let region = RegionDescription(&reader)
            self = code == .addMemoryRegion ? .addMemoryRegion(region) : .removeMemoryRegion(region)
        case .setLogBase:
            try require(LogDescription.byteCount)
            self = .setLogBase(LogDescription(byteCount: reader.word(), offset: reader.word()))
        case .getConfiguration, .setConfiguration:
            let access = try Self.configuration(code, payload)
            self = code == .getConfiguration ? .getConfiguration(access) : .setConfiguration(access)
        case .getInflight, .setInflight:
            if payload.count != InflightDescription.leastByteCount {
                try require(InflightDescription.byteCount)
            }
            let inflight = InflightDescription(&reader)
            self = code == .getInflight ? .getInflight(inflight) : .setInflight(inflight)
        case .sendRARP, .setMTU, .iotlb, .setQueueEndianness, .createCryptoSession,
            .closeCryptoSession, .postcopyAdvise, .postcopyListen, .postcopyEnd, .setGPUSocket,
            .resetDevice, .queueKick:
            throw .unsupported(code)
        }
    }

    private static func withoutPayload(_ code: RequestCode) -> Request {
        switch code {
        case .getFeatures: .getFeatures
        case .setOwner: .setOwner
        case .resetOwner: .resetOwner
        case .setLogDescriptor: .setLogDescriptor
        case .getProtocolFeatures: .getProtocolFeatures
        case .getQueueCount: .getQueueCount
        case .setBackendChannel: .setBackendChannel
        case .getMemorySlotLimit: .getMemorySlotLimit
        case .getStatus: .getStatus
        default: preconditionFailure("\(code) has a payload")
        }
    }

    /// Of a kick, call or error descriptor, bits 0 to 7 are the queue, and bit 8 says that there is none.
    private static func oneWord(_ code: RequestCode, _ word: UInt64) -> Request {
        let queue = UInt8(truncatingIfNeeded: word)
        let hasDescriptor = word & 1 << 8 == 0
        switch code {
        case .setFeatures: return .setFeatures(VirtioFeatures(rawValue: word))
        case .setProtocolFeatures: return .setProtocolFeatures(ProtocolFeatures(rawValue: word))
        case .setStatus: return .setStatus(word)
        case .setKick: return .setKick(queue: queue, hasDescriptor: hasDescriptor)
        case .setCall: return .setCall(queue: queue, hasDescriptor: hasDescriptor)
        case .setError: return .setError(queue: queue, hasDescriptor: hasDescriptor)
        default: preconditionFailure("\(code) is not one word")
        }
    }

    private static func queueState(
        _ code: RequestCode, _ queue: UInt32, _ number: UInt32
    ) throws(ProtocolError) -> Request {
        switch code {
        case .setQueueSize: return .setQueueSize(queue: queue, number)
        case .setQueueBase: return .setQueueBase(queue: queue, number)
        case .getQueueBase: return .getQueueBase(queue: queue)
        default:
            guard number <= 1 else { throw .queue(Int(queue), .enabledBy(number)) }
            return .setQueueEnabled(queue: queue, number == 1)
        }
    }

    private static func configuration(
        _ code: RequestCode, _ payload: [UInt8]
    ) throws(ProtocolError) -> ConfigurationAccess {
        let header = ConfigurationAccess.headerByteCount
        guard payload.count >= header else {
            throw .payloadSize(code, payload.count, expected: header)
        }
        var reader = PayloadReader(payload)
        let (offset, count, flags) = (
            reader.word(UInt32.self), reader.word(UInt32.self), reader.word(UInt32.self)
        )
        guard payload.count - header == Int(count) else {
            throw .payloadSize(code, payload.count, expected: header + Int(count))
        }
        return ConfigurationAccess(
            offset: offset, flags: flags, bytes: reader.rest)
    }
}

// MARK: To the wire

extension Request {
    public var payload: [UInt8] {
        var writer = PayloadWriter()
        switch self {
        case .getFeatures, .setOwner, .resetOwner, .setLogDescriptor, .getProtocolFeatures,
            .getQueueCount, .setBackendChannel, .getMemorySlotLimit, .getStatus:
            break
        case .setFeatures(let features): writer.put(features.rawValue)
        case .setProtocolFeatures(let features): writer.put(features.rawValue)
        case .setStatus(let status): writer.put(status)
        case .setKick(let queue, let hasOne), .setCall(let queue, let hasOne),
            .setError(let queue, let hasOne):
            writer.put(UInt64(queue) | (hasOne ? 0 : 1 << 8))
        case .setQueueSize(let queue, let number), .setQueueBase(let queue, let number):
            writer.put(queue)
            writer.put(number)
        case .getQueueBase(let queue):
            writer.put(queue)
            writer.put(UInt32(0))
        case .setQueueEnabled(let queue, let isEnabled):
            writer.put(queue)
            writer.put(UInt32(isEnabled ? 1 : 0))
        case .setQueueAddresses(let queue, let addresses):
            writer.put(queue)
            addresses.put(to: &writer)
        case .setMemoryTable(let regions):
            writer.put(UInt32(regions.count))
            writer.put(UInt32(0))
            for region in regions { region.put(to: &writer) }
        case .addMemoryRegion(let region), .removeMemoryRegion(let region):
            writer.put(UInt64(0))
            region.put(to: &writer)
        case .setLogBase(let log):
            writer.put(log.byteCount)
            writer.put(log.offset)
        case .getConfiguration(let access), .setConfiguration(let access): access.put(to: &writer)
        case .getInflight(let inflight), .setInflight(let inflight): inflight.put(to: &writer)
        }
        return writer.bytes
    }

    /// The message as it goes over the socket.
    public func bytes(needsReply: Bool = false) -> [UInt8] {
        let payload = payload
        return MessageHeader(code, needsReply: needsReply, payloadByteCount: payload.count).bytes
            + payload
    }
}
