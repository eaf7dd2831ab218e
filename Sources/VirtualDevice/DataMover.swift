import DmaWriter
import GuestMemory
import Virtqueue

/// Moves the data of a request, as far as its pages are pinned: writes it by the engine, or reads it.
struct DataMover {
    private let writer: DmaWriter?
    private(set) var reader = DmaReader()
    private(set) var faults: FaultRecovery
    /// Bytes moved of the request under way, without a gap from its first on.
    private(set) var moved: UInt64 = 0
    private var stamp = Stamp(device: 0, generation: 0)
    /// Where the rest begins: a segment, and bytes of it.
    private var segment = 0
    private var offset: UInt64 = 0

    /// Without a writer nothing is moved.
    init(writer: DmaWriter?, faults: FaultRecovery) {
        self.writer = writer
        self.faults = faults
    }

    var moves: Bool { writer != nil }

    /// To be called before a request's first pin.
    mutating func start(generation: UInt64) {
        (moved, segment, offset) = (0, 0, 0)
        faults.start()
        guard let writer else { return }
        stamp = writer.stamp(generation: generation)
        writer.prepare(stamp)
    }

    /// Moves what comes next of the data, as far as it lies in the ranges; the page at which it has to stop, nil where it
    /// came to their end.
    @inline(__always)
    mutating func move(_ request: borrowing DeviceRequest, within ranges: Span<PageRange>) -> GFN? {
        guard let writer else { return nil }
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
                let done = move(bytes, at: address, type, writer)
                moved += done
                if done < count { return GFN((address + done) / pageSize) }
                if count == left { (segment, offset) = (segment + 1, 0) } else { offset += count }
            }
        }
        return nil
    }

    @inline(__always)
    private mutating func move(
        _ bytes: UnsafeMutableRawBufferPointer, at address: UInt64, _ type: RequestType?,
        _ writer: DmaWriter
    ) -> UInt64 {
        switch type {
        case .in: return faults.write(bytes, at: address, by: writer, stamp)
        case .out: reader.read(UnsafeRawBufferPointer(bytes))
        case .getID: writeName(to: bytes)
        case .flush, nil: break
        }
        return UInt64(bytes.count)
    }

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
