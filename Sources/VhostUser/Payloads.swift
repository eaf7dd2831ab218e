/// A part of guest memory as the front-end describes it (vhost-user.rst, "Memory region description"): unchecked.
public struct RegionDescription: Hashable, Sendable {
    static let byteCount = 32

    /// Where it begins for the guest, in bytes.
    public let guestAddress: UInt64
    public let byteCount: UInt64
    /// Where it begins in the front-end's address space: how ring addresses are given.
    public let userAddress: UInt64
    /// Where it begins in the file behind its descriptor.
    public let offset: UInt64

    public init(guestAddress: UInt64, byteCount: UInt64, userAddress: UInt64, offset: UInt64 = 0) {
        self.guestAddress = guestAddress
        self.byteCount = byteCount
        self.userAddress = userAddress
        self.offset = offset
    }

    init(_ reader: inout PayloadReader) {
        guestAddress = reader.word()
        byteCount = reader.word()
        userAddress = reader.word()
        offset = reader.word()
    }

    func put(to writer: inout PayloadWriter) {
        writer.put(guestAddress)
        writer.put(byteCount)
        writer.put(userAddress)
        writer.put(offset)
    }
}

/// Where a queue's rings lie (vhost-user.rst, "A vring address description"): unchecked.
public struct QueueAddresses: Hashable, Sendable {
    static let byteCount = 40
    private static let logFlag: UInt32 = 1

    /// Addresses in the front-end's address space.
    public let descriptorTable: UInt64
    public let usedRing: UInt64
    public let availableRing: UInt64
    /// For what the writes to the used ring are logged (VHOST_VRING_F_LOG): the guest address that its first byte
    /// counts as; nil where they are not.
    public let usedRingLog: UInt64?

    public init(
        descriptorTable: UInt64, usedRing: UInt64, availableRing: UInt64, usedRingLog: UInt64? = nil
    ) {
        self.descriptorTable = descriptorTable
        self.usedRing = usedRing
        self.availableRing = availableRing
        self.usedRingLog = usedRingLog
    }

    /// The index of the queue comes first, and was read before.
    init(_ reader: inout PayloadReader) {
        let flags = reader.word(UInt32.self)
        descriptorTable = reader.word()
        usedRing = reader.word()
        availableRing = reader.word()
        let log = reader.word(UInt64.self)
        usedRingLog = flags & Self.logFlag != 0 ? log : nil
    }

    func put(to writer: inout PayloadWriter) {
        writer.put(usedRingLog == nil ? 0 : Self.logFlag)
        writer.put(descriptorTable)
        writer.put(usedRing)
        writer.put(availableRing)
        writer.put(usedRingLog ?? 0)
    }
}

/// The file of requests under way (vhost-user.rst, "Inflight description"): unchecked.
public struct InflightDescription: Hashable, Sendable {
    /// As C lays it out; the four bytes of padding at its end may be missing.
    static let byteCount = 24
    static let leastByteCount = 20

    public let byteCount: UInt64
    /// Where it begins in the file behind its descriptor.
    public let offset: UInt64
    public let queueCount: UInt16
    public let queueSize: UInt16

    public init(byteCount: UInt64 = 0, offset: UInt64 = 0, queueCount: UInt16, queueSize: UInt16) {
        self.byteCount = byteCount
        self.offset = offset
        self.queueCount = queueCount
        self.queueSize = queueSize
    }

    init(_ reader: inout PayloadReader) {
        byteCount = reader.word()
        offset = reader.word()
        queueCount = reader.word()
        queueSize = reader.word()
    }

    func put(to writer: inout PayloadWriter) {
        writer.put(byteCount)
        writer.put(offset)
        writer.put(queueCount)
        writer.put(queueSize)
        writer.put(UInt32(0))
    }
}

/// The file of the dirty log (vhost-user.rst, "Log description"): unchecked.
public struct LogDescription: Hashable, Sendable {
    static let byteCount = 16

    public let byteCount: UInt64
    /// Where guest address 0 is logged in the file behind its descriptor.
    public let offset: UInt64

    public init(byteCount: UInt64, offset: UInt64 = 0) {
        self.byteCount = byteCount
        self.offset = offset
    }
}

/// A part of the device's configuration (vhost-user.rst, "Virtio device config space"): unchecked.
public struct ConfigurationAccess: Hashable, Sendable {
    static let headerByteCount = 12

    public let offset: UInt32
    /// As they came: front-ends differ in all but the first bit.
    public let flags: UInt32
    /// What was there, or is to be there. Of a question, only the length counts.
    public let bytes: [UInt8]

    public init(offset: UInt32, flags: UInt32 = 0, bytes: [UInt8]) {
        self.offset = offset
        self.flags = flags
        self.bytes = bytes
    }

    /// Whether the front-end restores what another host's device had (live migration).
    public var isMigration: Bool { flags & 1 != 0 }

    func put(to writer: inout PayloadWriter) {
        writer.put(offset)
        writer.put(UInt32(bytes.count))
        writer.put(flags)
        writer.put(bytes)
    }
}
