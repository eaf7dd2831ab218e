import CLinux
import Glibc

/// Memory that several processes map: the owner of one mmap(2), which lasts as long as this object.
///
/// No core file holds it (MADV_DONTDUMP of madvise(2)).
///
/// Views (the arena, a ring, a region) keep a reference to the mapping beside their typed pointers, so
/// that no pointer outlives it. What lies in it is position-independent: processes map it at different addresses.
public final class SharedMapping {
    public let base: UnsafeMutableRawPointer
    public let byteCount: Int
    public let name: String
    private let descriptor: FileDescriptor

    /// The descriptor's number, for passing on to a child and for asking the kernel about the file.
    public var fileDescriptor: Int32 { descriptor.raw }

    /// Maps `byteCount` bytes of `descriptor`, which it takes over.
    public init(
        mapping descriptor: consuming FileDescriptor, byteCount: Int, name: String
    ) throws(SystemError) {
        precondition(byteCount > 0, "a mapping needs at least one byte, not \(byteCount)")
        let start = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor.raw, 0)
        guard let start, start != MAP_FAILED else {
            throw SystemError("mmap", code: errno, on: "\(name), \(byteCount) bytes")
        }
        // A core file of hundreds of gigabytes would take the machine with it. One that is larger than it need be is no
        // reason not to run.
        madvise(start, byteCount, MADV_DONTDUMP)
        base = start
        self.byteCount = byteCount
        self.name = name
        self.descriptor = descriptor
    }

    /// Maps the whole file behind `descriptor`, which it takes over.
    public convenience init(
        mapping descriptor: consuming FileDescriptor, name: String
    ) throws(SystemError) {
        let byteCount = try descriptor.byteCount
        try self.init(mapping: descriptor, byteCount: byteCount, name: name)
    }

    /// A new anonymous file of zeros, mapped; sparse until touched.
    public static func create(
        name: String, byteCount: Int, hugePageShift: Int32 = CLINUX_HUGE_NONE
    ) throws(SystemError) -> SharedMapping {
        let number = try check(
            clinux_memfd_create(name, hugePageShift, true), "memfd_create", on: name, of: .basic)
        let file = FileDescriptor(owning: number)
        try checkErrno(
            uninterrupted { ftruncate(file.raw, off_t(byteCount)) }, "ftruncate",
            on: "\(name), \(byteCount) bytes")
        return try SharedMapping(mapping: file, byteCount: byteCount, name: name)
    }

    deinit { munmap(base, byteCount) }

    /// The parts of the file that hold data, in order: the rest is holes, which read as zero (lseek(2), SEEK_DATA).
    public func forEachPopulatedExtent(_ body: (Range<Int>) throws(SystemError) -> Void)
        throws(SystemError)
    {
        try forEachPopulatedExtent(of: [0..<byteCount], body)
    }

    /// The same, of some parts of it, by their beginnings.
    ///
    /// To find the end of an extent, the kernel goes through its pages, to wherever that is: each extent is asked for once,
    /// however many of the parts lie in it.
    public func forEachPopulatedExtent(
        of parts: [Range<Int>], _ body: (Range<Int>) throws(SystemError) -> Void
    ) throws(SystemError) {
        var extent = 0..<0
        // Where the search for that began: between here and its beginning lies nothing.
        var searched = 0
        for part in parts.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            let part = part.clamped(to: 0..<byteCount)
            var position = part.lowerBound
            while position < part.upperBound {
                if position < searched || extent.upperBound <= position {
                    extent = try nextExtent(from: position)
                    searched = position
                }
                let found = extent.clamped(to: position..<part.upperBound)
                if found.isEmpty { break }
                try body(found)
                position = found.upperBound
            }
        }
    }

    /// The first extent that ends behind `position`, from there on; nothing at the end of the file where there is none.
    private func nextExtent(from position: Int) throws(SystemError) -> Range<Int> {
        let start = clinux_next_data(fileDescriptor, Int64(position))
        if start == -Int64(ENXIO) { return byteCount..<Int.max }
        try check(start, "lseek(SEEK_DATA)", on: name)
        let end = try check(
            clinux_next_hole(fileDescriptor, start), "lseek(SEEK_HOLE)", on: name)
        return Int(start)..<Int(end)
    }

    /// What is worked through at once, where somebody may want it to stop.
    private static let stepBytes = 64 << 20

    /// Sets every populated byte to zero and leaves the holes holes, until `shouldStop`. Nobody else may use the mapping
    /// meanwhile.
    public func zero(shouldStop: () -> Bool = { false }) throws(SystemError) {
        try forEachPopulatedExtent { extent in
            for start in stride(from: extent.lowerBound, to: extent.upperBound, by: Self.stepBytes)
            {
                if shouldStop() { return }
                memset(base + start, 0, min(Self.stepBytes, extent.upperBound - start))
            }
        }
    }

    /// Enters the file's populated pages in this process's page table, so that no later access faults: all of them, or
    /// those in parts of the file. Until `shouldStop`.
    public func mapPopulated(
        _ parts: [Range<Int>]? = nil, shouldStop: () -> Bool = { false }
    ) throws(SystemError) {
        try forEachPopulatedExtent(of: parts ?? [0..<byteCount]) { extent throws(SystemError) in
            try populate(extent, shouldStop: shouldStop)
        }
    }

    /// Allocates and maps the pages of `bytes` (MADV_POPULATE_WRITE), until `shouldStop`.
    public func populate(
        _ bytes: Range<Int>, shouldStop: () -> Bool = { false }
    ) throws(SystemError) {
        let page = 4096
        let first = bytes.lowerBound / page * page
        let end = min((bytes.upperBound + page - 1) / page * page, byteCount)
        for start in stride(from: first, to: end, by: Self.stepBytes) where !shouldStop() {
            let count = min(Self.stepBytes, end - start)
            var result: Int32
            repeat { result = clinux_populate_write(base + start, count) } while result == -EINTR
            try check(result, "madvise(MADV_POPULATE_WRITE)", on: name, of: .basic)
        }
    }

    /// Makes whole pages holes: they read as zero, and take memory again when written (FALLOC_FL_PUNCH_HOLE).
    public func discard(_ bytes: Range<Int>) throws(SystemError) {
        var result: Int32
        repeat {
            result = clinux_punch_hole(
                fileDescriptor, UInt64(bytes.lowerBound), UInt64(bytes.count))
        } while result == -EINTR
        try check(result, "fallocate(FALLOC_FL_PUNCH_HOLE)", on: name, of: .basic)
    }

    /// Reads without touching: what is a hole stays one (pread(2)).
    public func read(
        _ bytes: Range<Int>, into buffer: UnsafeMutableRawBufferPointer
    ) throws(SystemError) {
        let wanted = min(bytes.count, buffer.count)
        var done = 0
        while done < wanted {
            let count = uninterrupted {
                pread(
                    fileDescriptor, buffer.baseAddress! + done, wanted - done,
                    off_t(bytes.lowerBound + done))
            }
            // The file ends here.
            if try checkErrno(count, "pread", on: name) == 0 { return }
            done += count
        }
    }

    /// Memory the file takes now, in bytes.
    public func populatedByteCount() throws(SystemError) -> Int {
        var sum = 0
        try forEachPopulatedExtent { sum += $0.count }
        return sum
    }
}

// The mapping's address and length never change; what lies behind it is read and
// written through atomics, or by one side at a time, as each view states.
extension SharedMapping: @unchecked Sendable {}
