import GuestMemory
import Synchronization

// The request of the DMA device, in the manner of a VIRTIO device type (VIRTIO 1.2, chapter 5).
//
//     struct virtio_dma_req {
//             le32 type;                  /* device-readable: 16 bytes */
//             le32 reserved;
//             le64 generation;
//             u8 data[];                  /* device-writable: N descriptors */
//             le32 code;                  /* device-writable: 32 bytes */
//             le32 reserved;
//             le64 gfn;
//             le64 bytes_written;
//             le64 reserved;
//     };
//
// There is no transport, so nothing is negotiated: both sides take VIRTIO_F_VERSION_1 and
// VIRTIO_F_INDIRECT_DESC as accepted, and no other feature.
//
// The first descriptor is the header, the last one the status, those between are the data. With
// type 1, the only one, the device writes all of the data, and marks every line of it with
// `generation`.
//
// Driver requirements
// - Each part MUST have descriptors of its own. (2.7.4.1 asks a device not to depend on framing;
//   this one does, and refuses any other, since data is whole pages and the two records never are.)
// - Each data descriptor MUST be device-writable, page-aligned, a non-zero number of pages long,
//   and inside guest memory. No two may overlap, nor may one overlap the queue area. There MUST be
//   at least one.
// - Header, status and an indirect table MUST lie in the queue area, aligned to 8, 8 and 16 bytes:
//   the only pages of which the device knows, without a pin for this request, that they are shared.
// - `reserved` MUST be 0, and is ignored.
// - The data of a chain MAY exceed 2^32 bytes, against 2.7.5.2, which wants to rule out loops by
//   that; here the length of the chain does (2.7.5.3.1). `bytes_written` is exact where the used
//   ring's `len` is not.
//
// Device requirements
// - The device MUST write the status of every request whose last descriptor is a valid one, before
//   it marks the request used, and MUST NOT write data that it did not find valid as a whole.
// - `gfn` MUST be the first offending page for codes 1, 2 and 5, else 0.
// - The used ring's `len` counts the data written without a gap from its first byte, and, where
//   that is all of it, the status behind it; it stops at 2^32 - 1, an underestimate as 2.7.8.2
//   allows.

/// How a request ended: `code` of the status record.
public enum StatusCode: UInt32, Sendable {
    /// All data was written.
    case ok = 0
    /// A page of the data was private.
    case privatePage = 1
    /// A page of the data was being converted until the device's deadline had passed.
    case conversionInProgress = 2
    /// The request broke a driver requirement.
    case badRequest = 3
    /// The device failed.
    case ioError = 4
    /// A page of the data became private under the write, which stopped there.
    case writeFault = 5
    /// The device would have to hold more of the guest's memory at once than it may.
    case overLimit = 6
}

/// What the device tells of a finished request.
public struct StatusRecord: Equatable, Sendable {
    static let byteCount: UInt32 = 32
    /// What a driver puts into `code` first, to know a status from none.
    static let unwritten = UInt32.max

    public var code: StatusCode
    /// The first offending page, for `privatePage`, `conversionInProgress` and `writeFault`.
    public var gfn: GFN
    /// Bytes of data written, without a gap, from the first on.
    public var bytesWritten: UInt64

    public init(_ code: StatusCode, gfn: GFN = GFN(0), bytesWritten: UInt64 = 0) {
        self.code = code
        self.gfn = gfn
        self.bytesWritten = bytesWritten
    }

    /// Nil where the device wrote none, or a code that is not one of this device type's.
    init?(at record: UnsafeMutableRawPointer) {
        let code = record.word(UInt32.self, at: 0).pointee.load(ordering: .relaxed)
        guard let code = StatusCode(rawValue: code) else { return nil }
        self.code = code
        gfn = GFN(record.word(UInt64.self, at: 8).pointee.load(ordering: .relaxed))
        bytesWritten = record.word(UInt64.self, at: 16).pointee.load(ordering: .relaxed)
    }

    func write(to record: UnsafeMutableRawPointer) {
        record.word(UInt64.self, at: 0).pointee.store(UInt64(code.rawValue), ordering: .relaxed)
        record.word(UInt64.self, at: 8).pointee.store(gfn.rawValue, ordering: .relaxed)
        record.word(UInt64.self, at: 16).pointee.store(bytesWritten, ordering: .relaxed)
        record.word(UInt64.self, at: 24).pointee.store(0, ordering: .relaxed)
    }

    static func clear(_ record: UnsafeMutableRawPointer) {
        record.word(UInt32.self, at: 0).pointee.store(unwritten, ordering: .relaxed)
    }
}

/// What the driver tells of a request, before its data.
struct RequestHeader: Equatable {
    static let byteCount: UInt32 = 16
    /// The device writes. 0 is no type, so that zeroed memory is no request.
    static let write: UInt32 = 1

    var type: UInt32
    var generation: UInt64

    init(type: UInt32, generation: UInt64) {
        self.type = type
        self.generation = generation
    }

    init(at record: UnsafeMutableRawPointer) {
        type = record.word(UInt32.self, at: 0).pointee.load(ordering: .relaxed)
        generation = record.word(UInt64.self, at: 8).pointee.load(ordering: .relaxed)
    }

    func write(to record: UnsafeMutableRawPointer) {
        record.word(UInt64.self, at: 0).pointee.store(UInt64(type), ordering: .relaxed)
        record.word(UInt64.self, at: 8).pointee.store(generation, ordering: .relaxed)
    }
}
