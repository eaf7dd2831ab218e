import DmaWriter
import GuestMemory
import VhostUser
import Virtqueue

/// Moves the data of a request, as far as its pages are pinned: writes it by the engine, or reads it; or has a store do
/// that.
struct DataMover {
    private let writer: DmaWriter?
    private let store: (any BlockStore)?
    private(set) var reader: DmaReader
    private(set) var faults: FaultRecovery
    /// Bytes moved of the request under way, without a gap from its first on.
    private(set) var moved: UInt64 = 0
    private var stamp = Stamp(device: 0, generation: 0)
    private var sector: UInt64 = 0
    /// Where the rest begins: a segment, and bytes of it.
    private var segment = 0
    private var offset: UInt64 = 0

    /// A store comes first; without a writer either, nothing is moved.
    init(
        writer: DmaWriter?, reader: DmaReader = DmaReader(), store: (any BlockStore)? = nil,
        faults: FaultRecovery
    ) {
        self.writer = writer
        self.reader = reader
        self.store = store
        self.faults = faults
    }

    var moves: Bool { writer != nil || store != nil }

    /// Whether what was written stays written.
    func flush() -> Bool { store?.flush() ?? true }

    /// To be called before a request's first pin; what is to be written is made ready.
    mutating func start(generation: UInt64, writes: Bool, byteCount: UInt64) {
        (moved, segment, offset) = (0, 0, 0)
        faults.start()
        sector = generation
        guard writes, let writer else { return }
        stamp = writer.stamp(generation: generation)
        writer.prepare(stamp, byteCount: byteCount)
    }

    /// Moves what comes next of the data, as far as it lies in the ranges; the page at which it has to stop, nil where it
    /// came to their end.
    @inline(__always)
    mutating func move(_ request: borrowing DeviceRequest, within ranges: Span<PageRange>) -> GFN? {
        let type = request.type
        for index in ranges.indices {
            let (lower, upper) = (
                ranges[index].lower &* pageSize, ranges[index].upper &* pageSize
            )
            while segment < request.segmentCount {
                let current = request.segment(segment)
                let address = current.address &+ offset
                // The next one lies in a range of its own, or in the next chunk.
                guard address >= lower, address < upper else { break }
                let left = current.byteCount &- offset
                let count = min(left, upper &- address)
                let bytes = UnsafeMutableRawBufferPointer(
                    start: current.pointer + Int(offset), count: Int(count))
                let done = move(bytes, at: address, type)
                moved += done
                if done < count { return GFN((address + done) / pageSize) }
                if count == left { (segment, offset) = (segment + 1, 0) } else { offset += count }
            }
        }
        return nil
    }

    @inline(__always)
    private mutating func move(
        _ bytes: UnsafeMutableRawBufferPointer, at address: UInt64, _ type: RequestType?
    ) -> UInt64 {
        switch type {
        case .in:
            if let store { return UInt64(store.read(into: bytes, at: offsetInStore)) }
            if let writer { return faults.write(bytes, at: address, by: writer, stamp) }
        case .out:
            let source = UnsafeRawBufferPointer(bytes)
            if let store { return UInt64(store.write(source, at: offsetInStore)) }
            reader.read(source)
        case .getID: writeName(to: bytes)
        case .flush, nil: break
        }
        return UInt64(bytes.count)
    }

    private var offsetInStore: UInt64 { sector * BlockDevice.sectorSize + moved }

    /// What GET_ID asks for: up to 20 characters, zeros behind them (VIRTIO 1.2, 5.2.6). Of more than that the rest stays
    /// as it is.
    private func writeName(to bytes: UnsafeMutableRawBufferPointer) {
        let name: StaticString = "dma-bench"
        for index in bytes.indices where moved + UInt64(index) < Self.nameByteCount {
            let place = Int(moved) + index
            bytes[index] = place < name.utf8CodeUnitCount ? name.utf8Start[place] : 0
        }
    }

    private static let nameByteCount: UInt64 = 20

    /// The request is given up with so many bytes unwritten.
    mutating func giveUp(lostBytes: UInt64) { faults.giveUp(lostBytes: lostBytes) }

    /// Bytes that a device has written of the request, as far as the used ring is to tell.
    func written(of type: RequestType?) -> UInt64 {
        switch type {
        case .in: moved
        case .getID: min(moved, Self.nameByteCount)
        default: 0
        }
    }
}
