import DmaLinux
import GuestMemory

/// An event descriptor of the front-end: it never lets this process wait, and never raises a signal here.
public final class EventDescriptor: Sendable {
    private let descriptor: FileDescriptor

    init(_ descriptor: consuming FileDescriptor, of queue: Int) throws(ProtocolError) {
        guard descriptor.isEvent else { throw .queue(queue, .notAnEvent) }
        do throws(SystemError) { try descriptor.makeNonblocking() } catch { throw .system(error) }
        self.descriptor = descriptor
    }

    /// The number, for waiting on several at once.
    public var raw: Int32 { descriptor.raw }

    public func notify() { descriptor.notify() }
}

/// Where the three parts of a split queue lie, as guest addresses; each lies wholly inside one region, and is aligned
/// (VIRTIO 1.2, 2.7).
public struct QueueRings: Hashable, Sendable {
    public let descriptorTable: UInt64
    public let availableRing: UInt64
    public let usedRing: UInt64
    public let size: Int

    /// Bytes of the parts; both rings have the word for VIRTIO_F_EVENT_IDX.
    public var descriptorTableByteCount: UInt64 { 16 * UInt64(size) }
    public var availableRingByteCount: UInt64 { 6 + 2 * UInt64(size) }
    public var usedRingByteCount: UInt64 { Self.usedRingByteCount(size) }

    static func usedRingByteCount(_ size: Int) -> UInt64 { 6 + 8 * UInt64(size) }

    /// Finds what the front-end gave as its own addresses.
    init(
        _ addresses: QueueAddresses, size: Int, in memory: MemoryTable
    ) throws(QueueFault) {
        func find(
            _ address: UInt64, _ byteCount: UInt64, alignment: UInt64, _ part: QueuePart
        ) throws(QueueFault) -> UInt64 {
            guard address % alignment == 0 else { throw .misaligned(part, address, alignment) }
            guard let found = memory.guestAddress(ofUser: address, byteCount: byteCount) else {
                throw .outsideMemory(part, address, byteCount)
            }
            return found
        }
        self.size = size
        let entries = UInt64(size)
        descriptorTable = try find(
            addresses.descriptorTable, 16 * entries, alignment: 16, .descriptorTable)
        availableRing = try find(
            addresses.availableRing, 6 + 2 * entries, alignment: 2, .availableRing)
        usedRing = try find(
            addresses.usedRing, Self.usedRingByteCount(size), alignment: 4, .usedRing)
    }
}

/// What a front-end has said of one queue. A copy keeps its descriptors open.
public struct Queue: Sendable {
    /// The largest split queue there is: VIRTIO 1.2, 2.7.
    public static let sizeLimit: UInt32 = 32768

    /// Entries; nil until they are known.
    public internal(set) var size: Int?
    public internal(set) var addresses: QueueAddresses?
    /// Where the queue lies for the guest, from its start on until it is stopped.
    public internal(set) var rings: QueueRings?
    /// The next entry of the available ring that is to be fetched, as the front-end has it.
    public internal(set) var base: UInt16 = 0
    /// Notified by the guest; nil: the available ring has to be looked at without.
    public internal(set) var kick: EventDescriptor?
    /// To be notified for the guest; nil: it looks at the used ring itself.
    public internal(set) var call: EventDescriptor?
    /// To be notified where the queue is broken; nil: nobody wants to know.
    public internal(set) var error: EventDescriptor?
    /// What SET_VRING_ENABLE said last; nil until it has.
    var isEnabledByRequest: Bool?

    public init() {}

    /// Between SET_VRING_KICK and GET_VRING_BASE.
    public var isStarted: Bool { rings != nil }
}

/// A part of a split queue.
public enum QueuePart: String, Sendable {
    case descriptorTable = "descriptor table"
    case availableRing = "available ring"
    case usedRing = "used ring"
}

/// What is wrong with what a front-end says of a queue.
public enum QueueFault: Error, Equatable, Sendable, CustomStringConvertible {
    case outOfRange(limit: Int)
    case size(UInt32)
    case base(UInt32)
    case enabledBy(UInt32)
    case isRunning(RequestCode)
    case hasNoSize
    case hasNoAddresses
    case misaligned(QueuePart, UInt64, UInt64)
    case outsideMemory(QueuePart, UInt64, UInt64)
    case notAnEvent

    public var description: String {
        switch self {
        case .outOfRange(let limit): "there are \(limit), from 0 on (GET_QUEUE_NUM)"
        case .size(let size):
            "\(size) entries: a power of two, \(Queue.sizeLimit) at most (VIRTIO 1.2, 2.7)"
        case .base(let base): "begins at entry \(base): an index has 16 bits"
        case .enabledBy(let number): "enabled by \(number), which is neither 0 nor 1"
        case .isRunning(let code): "\(code.name) while it runs: stop it first (GET_VRING_BASE)"
        case .hasNoSize: "started before its size was known (SET_VRING_NUM)"
        case .hasNoAddresses: "started before its addresses were known (SET_VRING_ADDR)"
        case .misaligned(let part, let address, let alignment):
            "the \(part.rawValue) at \(hex(address)) is not aligned to \(alignment) bytes (VIRTIO 1.2, 2.7)"
        case .outsideMemory(let part, let address, let byteCount):
            "the \(part.rawValue) at \(hex(address)), of \(byteCount) bytes, lies in no region of guest memory"
        case .notAnEvent: "a descriptor that is no eventfd"
        }
    }
}
