import GuestMemory
import Synchronization

// The request is that of the block device: VIRTIO 1.2, 5.2.6.
//
//     struct virtio_blk_req {
//             le32 type;          /* device-readable: 16 bytes */
//             le32 reserved;
//             le64 sector;
//             u8 data[];          /* N descriptors: device-writable for IN and GET_ID, device-readable for OUT */
//             u8 status;          /* device-writable: 1 byte */
//     };
//
// Each part has descriptors of its own, as Linux, SeaBIOS and OVMF send it; any other framing is refused (2.7.4.1 asks
// a device not to depend on it). The parts lie anywhere in guest memory, at any alignment. Data is any number of bytes,
// in segments that may share pages, touch and overlap.
//
// `len` of the used ring counts the bytes written without a gap from the first device-writable one: the data, and where
// that is all of it, the status behind it. It stops at 2^32 - 1, an underestimate as 2.7.8.2 allows.
//
// The data of a chain may exceed 2^32 bytes, against 2.7.5.2, which wants to rule out loops by that; here the length of
// the chain does (2.7.5.3.1).

/// What a request asks for; a device answers any other type with `unsupported`.
public enum RequestType: UInt32, Sendable {
    /// The device writes guest memory: VIRTIO_BLK_T_IN.
    case `in` = 0
    /// The device reads guest memory: VIRTIO_BLK_T_OUT.
    case out = 1
    case flush = 4
    /// The device writes its name, of 20 bytes.
    case getID = 8

    /// Whether the device writes the data; nil where there is none.
    var deviceWrites: Bool? {
        switch self {
        case .in, .getID: true
        case .out: false
        case .flush: nil
        }
    }
}

/// How a request ended: its last byte.
public enum RequestStatus: UInt8, Sendable {
    case ok = 0
    case ioError = 1
    case unsupported = 2

    /// What a driver puts there first, to know a status from none.
    static let unwritten = UInt8.max

    /// Nil where the device wrote none, or no status that there is.
    init?(at pointer: UnsafeMutableRawPointer) {
        self.init(rawValue: pointer.word(UInt8.self, at: 0).pointee.load(ordering: .relaxed))
    }

    func write(to pointer: UnsafeMutableRawPointer) {
        pointer.word(UInt8.self, at: 0).pointee.store(rawValue, ordering: .relaxed)
    }

    static func clear(_ pointer: UnsafeMutableRawPointer) {
        pointer.word(UInt8.self, at: 0).pointee.store(unwritten, ordering: .relaxed)
    }
}

/// What a request begins with.
struct RequestHeader: Equatable {
    static let byteCount: UInt32 = 16

    var type: UInt32
    var sector: UInt64

    init(type: UInt32, sector: UInt64) {
        self.type = type
        self.sector = sector
    }

    /// Reads each of its words once; aligned to 8 bytes.
    init(at record: UnsafeMutableRawPointer) {
        type = record.word(UInt32.self, at: 0).pointee.load(ordering: .relaxed)
        sector = record.word(UInt64.self, at: 8).pointee.load(ordering: .relaxed)
    }

    func write(to record: UnsafeMutableRawPointer) {
        record.word(UInt64.self, at: 0).pointee.store(UInt64(type), ordering: .relaxed)
        record.word(UInt64.self, at: 8).pointee.store(sector, ordering: .relaxed)
    }
}
