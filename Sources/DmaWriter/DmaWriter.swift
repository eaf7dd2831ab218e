import DmaLinux
import GuestMemory

/// The data mover of a virtual device: it fills ranges of guest memory, and every line carries the
/// request's stamp.
///
/// Used by one thread at a time. With several lanes, that thread writes one slice of each range and
/// helper threads the others; they sleep between requests, and inherit the processors that the
/// thread which makes the writer may run on: make it before binding that thread.
public final class DmaWriter {
    public let engine: FillEngine
    public let device: UInt16
    private let filler: Filler
    private let helpers: [Lane]

    /// Starts `lanes - 1` helper threads; the engine must be available.
    ///
    /// A writer that expects faults survives a store to memory that another process has write-protected
    /// (`WriteProtection`); it takes over SIGBUS for the whole process.
    public init(
        engine: FillEngine, lanes: Int, device: UInt16, expectsFaults: Bool = false
    ) throws(SystemError) {
        precondition(lanes > 0, "a writer has at least one lane, not \(lanes)")
        if expectsFaults { try FaultWatch.install() }
        self.engine = engine
        self.device = device
        filler = try Filler(engine, expectsFaults: expectsFaults)
        var helpers: [Lane] = []
        for lane in 1..<lanes {
            helpers.append(try Lane(name: "dma\(device)-lane\(lane)", filler: filler))
        }
        self.helpers = helpers
    }

    /// The stamp of this device's request number `generation`.
    public func stamp(generation: UInt64) -> Stamp { Stamp(device: device, generation: generation) }

    /// Makes the engine ready to write `stamp`: once per request, before its first write and not
    /// part of it.
    ///
    /// Only `copy` and `file` have anything to do, where it is the device's data that would have come off a wire or disk:
    /// `byteCount` bytes of it, 4 MiB at most, are stored there.
    public func prepare(_ stamp: Stamp, byteCount: UInt64 = .max) {
        filler.prepare(stamp, byteCount: byteCount)
    }

    /// Fills the range. Every store of every lane is ordered before a release store that follows
    /// the return.
    ///
    /// Of any length, at any address: where a line is covered in part, that part is as it would be if all of it were
    /// covered, and is stored by `rep movsb`. With several lanes the slices are whole pages, and a range of fewer pages
    /// than lanes leaves some of them asleep.
    ///
    /// Returns how many bytes from the first on were written without a gap: all of them, unless a store faulted.
    @discardableResult
    public func write(_ range: UnsafeMutableRawBufferPointer, stamp: Stamp) -> Int {
        guard let start = range.baseAddress else { return 0 }
        let edges = (UInt(bitPattern: start) | UInt(bitPattern: range.count)) % UInt(lineByteCount)
        guard edges == 0 else { return writeParts(start, byteCount: range.count, stamp: stamp) }
        return writeLines(start, byteCount: range.count, stamp: stamp)
    }

    private func writeLines(
        _ start: UnsafeMutableRawPointer, byteCount: Int, stamp: Stamp
    ) -> Int {
        let fault =
            helpers.isEmpty
            ? filler.fill(start, byteCount: byteCount, stamp: stamp)
            : writeInSlices(start, byteCount: byteCount, stamp: stamp)
        return Self.written(byteCount, from: start, before: fault)
    }

    /// The part of a line, whole lines, the part of a line; up to the first store that faults.
    @inline(never)
    private func writeParts(
        _ start: UnsafeMutableRawPointer, byteCount: Int, stamp: Stamp
    ) -> Int {
        let gap = Int(bitPattern: (0 &- UInt(bitPattern: start)) % UInt(lineByteCount))
        let head = min(gap, byteCount)
        let lines = (byteCount - head) / lineByteCount * lineByteCount
        var done = writePart(start, byteCount: head, stamp: stamp)
        if done == head, lines > 0 {
            done += writeLines(start + head, byteCount: lines, stamp: stamp)
        }
        if done == head + lines {
            done += writePart(start + done, byteCount: byteCount - done, stamp: stamp)
        }
        return done
    }

    private func writePart(
        _ start: UnsafeMutableRawPointer, byteCount: Int, stamp: Stamp
    ) -> Int {
        let fault = filler.fillPart(start, byteCount: byteCount, stamp: stamp)
        return Self.written(byteCount, from: start, before: fault)
    }

    private static func written(
        _ byteCount: Int, from start: UnsafeMutableRawPointer,
        before fault: UnsafeMutableRawPointer?
    ) -> Int {
        guard let fault else { return byteCount }
        // A string instruction may report any byte of the page.
        let page = UInt(bitPattern: fault) & ~UInt(pageSize - 1)
        return max(0, Int(bitPattern: page) - Int(bitPattern: start))
    }

    /// The lowest address at which a store faulted: beyond it there may be gaps.
    private func writeInSlices(
        _ start: UnsafeMutableRawPointer, byteCount: Int, stamp: Stamp
    ) -> UnsafeMutableRawPointer? {
        let lanes = helpers.count + 1
        for index in helpers.indices {
            let slice = Self.slice(index, of: lanes, byteCount: byteCount)
            if slice.isEmpty { continue }
            helpers[index].begin(
                Job(start: start + slice.lowerBound, byteCount: slice.count, stamp: stamp))
        }
        // The last slice is this thread's own, since it is the one that is never empty.
        let own = Self.slice(lanes - 1, of: lanes, byteCount: byteCount)
        var lowest = filler.fill(start + own.lowerBound, byteCount: own.count, stamp: stamp)
        for helper in helpers {
            guard let fault = helper.finish() else { continue }
            lowest = min(lowest ?? fault, fault)
        }
        return lowest
    }

    /// The bytes that lane `index` writes: whole pages, as many as any other lane give or take one,
    /// and for the last lane the part of a page that a range may end with.
    static func slice(_ index: Int, of lanes: Int, byteCount: Int) -> Range<Int> {
        let page = Int(pageSize)
        let pages = (byteCount + page - 1) / page
        let lower = pages * index / lanes * page
        let upper = min(pages * (index + 1) / lanes * page, byteCount)
        return lower..<upper
    }
}
