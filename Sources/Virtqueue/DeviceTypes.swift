import GuestMemory

/// What the device found in the available ring.
public enum NextRequest: Equatable, Sendable {
    case empty
    /// The request is filled in.
    case valid
    /// A request of a type that no device here knows: to be answered so.
    case unsupported(UInt32)
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
    /// It lies where the device got no pin.
    case indirectTableUnread(UInt64)
    // Its two records
    case headerNotReadable
    case headerLength(UInt32)
    case headerPlace(UInt64)
    /// It lies where the device got no pin.
    case headerUnread(UInt64)
    case noStatus
    case statusNotWritable
    case statusLength(UInt32)
    case statusPlace(UInt64)
    // Its data
    case noData
    case dataNotWritable
    case dataNotReadable
    case emptyData(UInt64)
    case dataOutsideGuestMemory(UInt64, UInt32)

    public var description: String {
        switch self {
        case .descriptorOutOfRange(let index): "descriptor \(index) is outside its table"
        case .chainTooLong: "the chain loops, or is longer than the queue"
        case .nestedIndirect: "an indirect table refers to another"
        case .indirectWithNext: "the chain goes on after an indirect table"
        case .indirectTableLength(let length):
            "an indirect table of \(length) bytes: it must be whole descriptors, at most the queue's size of them"
        case .indirectTablePlace(let address):
            "an indirect table at \(hex(address)), outside guest memory"
        case .indirectTableUnread(let address):
            "an indirect table at \(hex(address)), which is not shared"
        case .headerNotReadable: "the header is not device-readable"
        case .headerLength(let length): "a header of \(length) bytes: it has 16"
        case .headerPlace(let address): "a header at \(hex(address)), outside guest memory"
        case .headerUnread(let address): "a header at \(hex(address)), which is not shared"
        case .noStatus: "the chain has no status"
        case .statusNotWritable: "the status is not device-writable"
        case .statusLength(let length): "a status of \(length) bytes: it has one"
        case .statusPlace(let address): "a status at \(hex(address)), outside guest memory"
        case .noData: "a request without data"
        case .dataNotWritable: "data that the device is to write is not device-writable"
        case .dataNotReadable: "data that the device is to read is device-writable"
        case .emptyData(let address): "no data at \(hex(address))"
        case .dataOutsideGuestMemory(let address, let length):
            "data of \(length) bytes at \(hex(address)) is outside guest memory, or in two regions of it"
        }
    }
}
