import Glibc
import GuestMemory
import PinLock
import Telemetry
import Testing
import Virtqueue

@testable import VirtualDevice

/// A request as any driver of a block device may put it together: each part where it likes.
struct RawRequest {
    struct Segment {
        var address: UInt64
        var length: UInt32
    }

    var type: UInt32 = 0
    var sector: UInt64 = 1
    var segments: [Segment]
    /// Nil: in the queue's area, which the device knows to be shared.
    var header: UInt64?
    var status: UInt64?
    /// An indirect table there; nil for none.
    var table: UInt64?

    init(_ segments: [Segment], type: RequestType = .in) {
        self.segments = segments
        self.type = type.rawValue
    }

    init(_ segments: [(UInt64, UInt32)], type: RequestType = .in) {
        self.init(segments.map { Segment(address: $0.0, length: $0.1) }, type: type)
    }

    /// Bytes that the segments name, in their order.
    var bytes: [UInt64] { segments.flatMap { $0.address..<$0.address + UInt64($0.length) } }
}

extension Bench {
    /// What became of a request, by all that anybody is told of it.
    struct Outcome {
        /// What lies where the status belongs; 0xee where nobody wrote one.
        var status: UInt8
        var usedLength: UInt32
        var sample: DMASample?
        var digest: UInt64
    }

    /// Serves the one request with a device that has just been reset.
    func serve(_ request: RawRequest, _ options: Options = Options()) throws -> Outcome {
        _ = makeDriver()
        _ = takeSamples()
        let records = queueArea.start.address + UInt64(layout.recordsOffset)
        let header = request.header ?? records
        let status = request.status ?? records + 32
        store([UInt64(request.type), request.sector], at: header)
        view.pointer(to: status, byteCount: 1)!.storeBytes(of: 0xee, as: UInt8.self)
        var chain: [(address: UInt64, length: UInt32, flags: UInt64)] = [(header, 16, 0)]
        for segment in request.segments {
            chain.append((segment.address, segment.length, request.type == 1 ? 0 : 2))
        }
        chain.append((status, 1, 2))
        let place = request.table ?? queueArea.start.address
        for (index, part) in chain.enumerated() {
            let next: UInt64 = index + 1 < chain.count ? 1 << 32 | UInt64(index + 1) << 48 : 0
            store(
                [part.address, UInt64(part.length) | part.flags << 32 | next],
                at: place + 16 * UInt64(index))
        }
        if let table = request.table {
            store([table, UInt64(16 * chain.count) | 4 << 32], at: queueArea.start.address)
        }
        let rings = view.pointer(to: queueArea)
        (rings + layout.availableRingOffset).storeBytes(of: 0, toByteOffset: 4, as: UInt16.self)
        (rings + layout.availableRingOffset).storeBytes(of: 1, toByteOffset: 2, as: UInt16.self)
        var loop = try makeLoop(options)
        telemetry.shouldStop = true
        if let broken = loop.run() { throw broken }
        let used = rings + layout.usedRingOffset
        #expect(used.load(fromByteOffset: 2, as: UInt16.self) == 1)
        let samples = takeSamples()
        #expect(samples.count <= 1)
        return Outcome(
            status: view.pointer(to: status, byteCount: 1)!.load(as: UInt8.self),
            usedLength: used.load(fromByteOffset: 8, as: UInt32.self), sample: samples.first,
            digest: loop.mover.reader.digest)
    }

    func store(_ words: [UInt64], at address: UInt64) {
        for (index, word) in words.enumerated() {
            view.pointer(to: address + 8 * UInt64(index), byteCount: 8)!.storeBytes(
                of: word, as: UInt64.self)
        }
    }

    /// Addresses, in the pages from `firstPage` on, of the bytes that are not as `fill` left them.
    func changedBytes() -> Set<UInt64> {
        let bytes = view.bytes(of: dataPages)
        let start = dataPages.start.address
        var changed: Set<UInt64> = []
        // Page by page: nearly all are untouched.
        let untouched = [UInt8](repeating: 0xA5, count: 4096)
        for page in stride(from: 0, to: bytes.count, by: 4096)
        where memcmp(bytes.baseAddress! + page, untouched, 4096) != 0 {
            for index in page..<page + 4096 where bytes[index] != 0xA5 {
                changed.insert(start + UInt64(index))
            }
        }
        return changed
    }
}
