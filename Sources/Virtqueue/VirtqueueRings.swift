import GuestMemory

/// Where the three parts of a split virtqueue lie, as whoever set the queue up has said, and what was agreed on.
///
/// Plain numbers, checked as such; whether there is guest memory is seen where a side of the queue is made.
public struct VirtqueueRings: BitwiseCopyable, Hashable, Sendable {
    /// The parts, in bytes of guest physical address space: VIRTIO 1.2, 2.7.
    public enum Part: String, Sendable {
        case descriptorTable = "descriptor table"
        case availableRing = "available ring"
        case usedRing = "used ring"
    }

    /// Entries of the table and of both rings: a power of two.
    public let queueSize: Int
    /// Guest physical addresses.
    public let descriptorTable: UInt64
    public let availableRing: UInt64
    public let usedRing: UInt64
    /// Whether VIRTIO_F_EVENT_IDX was negotiated: notifications are asked for by index, not by flag.
    public let usesEventIndex: Bool

    public init(
        queueSize: Int, descriptorTable: UInt64, availableRing: UInt64, usedRing: UInt64,
        usesEventIndex: Bool = false
    ) throws(RingError) {
        guard VirtqueueLayout.isQueueSize(queueSize) else { throw .queueSize(queueSize) }
        self.queueSize = queueSize
        self.descriptorTable = descriptorTable
        self.availableRing = availableRing
        self.usedRing = usedRing
        self.usesEventIndex = usesEventIndex
        for part in [Part.descriptorTable, .availableRing, .usedRing] {
            let address = address(of: part)
            guard address % Self.alignment(of: part) == 0 else { throw .misaligned(part, address) }
        }
    }

    func address(of part: Part) -> UInt64 {
        switch part {
        case .descriptorTable: descriptorTable
        case .availableRing: availableRing
        case .usedRing: usedRing
        }
    }

    private static func alignment(of part: Part) -> UInt64 {
        switch part {
        case .descriptorTable: 16
        case .availableRing: 2
        case .usedRing: 4
        }
    }

    func byteCount(of part: Part) -> UInt64 {
        switch part {
        case .descriptorTable: UInt64(Descriptor.byteCount * queueSize)
        case .availableRing: UInt64(Ring.availableByteCount(queueSize: queueSize))
        case .usedRing: UInt64(Ring.usedByteCount(queueSize: queueSize))
        }
    }

    /// The pages in which the parts lie: what a device has to know shared for as long as it serves the queue. Throws
    /// where that is not all guest memory.
    public func pages(in memory: GuestView) throws(RingError) -> [PageRange] {
        var ranges: [PageRange] = []
        for part in [Part.descriptorTable, .availableRing, .usedRing] {
            _ = try location(of: part, in: memory)
            let (address, byteCount) = (address(of: part), byteCount(of: part))
            let (lower, upper) = (address / pageSize, (address + byteCount - 1) / pageSize + 1)
            ranges.append(PageRange(start: lower, count: upper - lower))
        }
        return ranges
    }

    func location(
        of part: Part, in memory: GuestView
    ) throws(RingError) -> UnsafeMutableRawPointer {
        let address = address(of: part)
        guard let pointer = memory.pointer(to: address, byteCount: byteCount(of: part)) else {
            throw .outsideGuestMemory(part, address)
        }
        return pointer
    }
}

/// A virtqueue that is not where it is said to be.
public enum RingError: Error, Equatable, Sendable, CustomStringConvertible {
    case queueSize(Int)
    case misaligned(VirtqueueRings.Part, UInt64)
    /// Also where it is in two regions, which need not be neighbours here.
    case outsideGuestMemory(VirtqueueRings.Part, UInt64)
    /// Pages that are registered for the queue are not in one region.
    case registered(PageRange)

    public var description: String {
        switch self {
        case .queueSize(let size):
            "a queue of \(size) entries: it must be a power of two, at most "
                + "\(VirtqueueLayout.queueSizeLimit) (VIRTIO 1.2, 2.7)"
        case .misaligned(let part, let address):
            "the \(part.rawValue) at \(hex(address)) is misaligned (VIRTIO 1.2, 2.7)"
        case .outsideGuestMemory(let part, let address):
            "the \(part.rawValue) at \(hex(address)) is not in one region of guest memory"
        case .registered(let range):
            "\(range), which the queue is to use, is not in one region of guest memory"
        }
    }
}

func hex(_ address: UInt64) -> String { "0x" + String(address, radix: 16) }
