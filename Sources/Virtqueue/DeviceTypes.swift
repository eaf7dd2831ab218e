import GuestMemory

/// What the device found in the available ring.
public enum NextRequest: Equatable, Sendable {
    case empty
    /// The request is filled in.
    case valid
    /// The request has its head and perhaps a place for the status, but no data.
    case invalid(BadRequest)
    /// Nothing in the queue can be believed. The device needs a reset (DEVICE_NEEDS_RESET: VIRTIO
    /// 1.2, 2.1.2).
    case broken(BrokenQueue)
}

/// Why a queue is broken: what no driver in its right mind writes.
public enum BrokenQueue: Error, Equatable, Sendable, CustomStringConvertible {
    case availableIndexRanAhead(by: Int, room: Int)
    case headOutOfRange(UInt16)

    public var description: String {
        switch self {
        case .availableIndexRanAhead(let ahead, let room):
            "the available index ran \(ahead) ahead where the queue has room for \(room)"
        case .headOutOfRange(let head):
            "the available ring names descriptor \(head), which is outside the table"
        }
    }
}

/// What is wrong with a request: the first thing found. Addresses are guest physical, lengths in
/// bytes.
public enum BadRequest: Error, Equatable, Sendable, CustomStringConvertible {
    // The chain (2.7.5)
    case descriptorOutOfRange(UInt16)
    case chainTooLong
    case nestedIndirect
    case indirectWithNext
    case indirectTableLength(UInt32)
    case indirectTablePlace(UInt64)
    // Its two records
    case headerNotReadable
    case headerTooShort(UInt32)
    case headerPlace(UInt64)
    case unknownType(UInt32)
    case noStatus
    case statusTooShort(UInt32)
    case statusPlace(UInt64)
    /// A device-readable descriptor behind the header (2.7.4.2).
    case notWritable
    // Its data
    case noData
    case emptyData(UInt64)
    case misalignedData(UInt64, UInt32)
    case dataOutsideGuestMemory(UInt64, UInt32)
    case dataInQueueArea(UInt64, UInt32)
    case overlappingData(GFN)

    public var description: String {
        switch self {
        case .descriptorOutOfRange(let index): "descriptor \(index) is outside its table"
        case .chainTooLong: "the chain loops, or is longer than the queue"
        case .nestedIndirect: "an indirect table refers to another"
        case .indirectWithNext: "the chain goes on after an indirect table"
        case .indirectTableLength(let length): "an indirect table of \(length) bytes"
        case .indirectTablePlace(let address):
            "an indirect table at \(hex(address)), misaligned or not inside the queue area"
        case .headerNotReadable: "the header is not device-readable"
        case .headerTooShort(let length): "a header of \(length) bytes"
        case .headerPlace(let address):
            "a header at \(hex(address)), misaligned or not inside the queue area"
        case .unknownType(let type): "unknown request type \(type)"
        case .noStatus: "the chain has no status"
        case .statusTooShort(let length): "a status of \(length) bytes"
        case .statusPlace(let address):
            "a status at \(hex(address)), misaligned or not inside the queue area"
        case .notWritable: "a descriptor behind the header is not device-writable"
        case .noData: "a request without data"
        case .emptyData(let address): "no data at \(hex(address))"
        case .misalignedData(let address, let length):
            "data of \(length) bytes at \(hex(address)) is not whole pages"
        case .dataOutsideGuestMemory(let address, let length):
            "data of \(length) bytes at \(hex(address)) is outside guest memory"
        case .dataInQueueArea(let address, let length):
            "data of \(length) bytes at \(hex(address)) overlaps the queue area"
        case .overlappingData(let gfn): "data overlaps at \(gfn)"
        }
    }
}
