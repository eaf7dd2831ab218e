import CLinux
import GuardedMemory
import GuestMemory
import Testing

@testable import DmaWriter

@Suite struct WriteTests {
    /// Whole pages, parts of pages, single lines, and more than the 4 MiB that `copy` has at hand.
    static let extents: [Range<Int>] = [
        0..<64, 0..<192, 0..<448, 3..<4, 63..<65, 5..<1 + 17 * 64, 64..<64 * 1_027,
    ]

    /// Every line of the range carries the request, and not one byte around it has changed.
    @Test(arguments: FillEngine.allCases.filter(\.isAvailable), [1, 2, 3])
    func fillsTheRangeAndNothingElse(engine: FillEngine, lanes: Int) throws {
        let writer = try DmaWriter(engine: engine, lanes: lanes, device: 11)
        for (index, lines) in Self.extents.enumerated() {
            let memory = try GuardedPages(pages: (lines.upperBound + 63) / 64)
            let stamp = writer.stamp(generation: UInt64(index))
            let range = memory.lines(lines)
            writer.prepare(stamp, byteCount: UInt64(range.count))
            writer.write(range, stamp: stamp)
            let word = engine.pattern(of: stamp)
            #expect(firstWord(in: range, otherThan: word) == nil, "lines \(lines)")
            #expect(memory.firstStrayByte(outside: lines) == nil, "lines \(lines)")
        }
    }

    @Test(arguments: FillEngine.allCases.filter(\.isAvailable), [1, 2])
    func nothingToWrite(engine: FillEngine, lanes: Int) throws {
        let writer = try DmaWriter(engine: engine, lanes: lanes, device: 12)
        let stamp = writer.stamp(generation: 1)
        let memory = try GuardedPages(pages: 1)
        writer.prepare(stamp)
        writer.write(UnsafeMutableRawBufferPointer(start: nil, count: 0), stamp: stamp)
        writer.write(memory.lines(7..<7), stamp: stamp)
        #expect(memory.firstStrayByte(outside: 0..<0) == nil)
    }

    /// The ranges of a scatter-gather list share one stamp and one `prepare`.
    @Test(arguments: FillEngine.allCases.filter(\.isAvailable))
    func requestsOfSeveralRanges(engine: FillEngine) throws {
        let writer = try DmaWriter(engine: engine, lanes: 2, device: 13)
        let memory = try GuardedPages(pages: 9)
        for generation in UInt64(0)..<100 {
            let stamp = writer.stamp(generation: generation)
            writer.prepare(stamp, byteCount: 5 * pageSize)
            for page in stride(from: 0, to: 9, by: 2) {
                writer.write(memory.lines(page * 64..<(page + 1) * 64), stamp: stamp)
            }
            let word = engine.pattern(of: stamp)
            for page in 0..<9 {
                let expected = page % 2 == 0 ? word : 0
                let lines = memory.lines(page * 64..<(page + 1) * 64)
                #expect(firstWord(in: lines, otherThan: expected) == nil)
            }
        }
    }

    /// The writer uses the widest kind only: the others are tried here.
    @Test(
        arguments: [
            NonTemporal(width: 128, isAvailable: true, fill: clinux_fill_nt_sse2),
            NonTemporal(width: 256, isAvailable: clinux_has_avx2(), fill: clinux_fill_nt_avx2),
            NonTemporal(width: 512, isAvailable: clinux_has_avx512(), fill: clinux_fill_nt_avx512),
        ].filter(\.isAvailable))
    func nonTemporalStoresOfEachWidth(kind: NonTemporal) throws {
        for lines in [0..<1, 1..<4, 0..<64, 3..<129] {
            let memory = try GuardedPages(pages: 3)
            let range = memory.lines(lines)
            kind.fill(range.baseAddress, 0x0123_4567_89AB_CDEF, range.count)
            #expect(firstWord(in: range, otherThan: 0x0123_4567_89AB_CDEF) == nil)
            #expect(memory.firstStrayByte(outside: lines) == nil)
        }
    }

    struct NonTemporal: Sendable, CustomTestStringConvertible {
        let width: Int
        let isAvailable: Bool
        let fill: @convention(c) @Sendable (UnsafeMutableRawPointer?, UInt64, Int) -> Void
        var testDescription: String { "\(width) bits" }
    }

    /// Any bytes: those of the range are what they are where whole lines are written, and no other has changed.
    @Test(arguments: FillEngine.allCases.filter(\.isAvailable), [1, 2])
    func fillsPartsOfLines(engine: FillEngine, lanes: Int) throws {
        let writer = try DmaWriter(engine: engine, lanes: lanes, device: 14)
        let offsets = [0, 1, 7, 8, 31, 63, 64, 65, 127, 4095, 4096]
        let lengths = [1, 2, 8, 62, 63, 64, 65, 128, 190, 511, 512, 4097, 9000]
        for offset in offsets {
            for length in lengths {
                let memory = try GuardedPages(pages: 4)
                let stamp = writer.stamp(generation: UInt64(offset * 10_000 + length))
                writer.prepare(stamp, byteCount: UInt64(length))
                let range = UnsafeMutableRawBufferPointer(
                    rebasing: memory.bytes[offset..<offset + length])
                #expect(writer.write(range, stamp: stamp) == length)
                let word = engine.pattern(of: stamp)
                let wrong = memory.bytes.indices.first { index in
                    let isInside = (offset..<offset + length).contains(index)
                    let expected =
                        isInside ? UInt8(truncatingIfNeeded: word >> (8 * UInt64(index % 8))) : 0
                    return memory.bytes[index] != expected
                }
                #expect(wrong == nil, "\(length) bytes at \(offset)")
                #expect(memory.firstStrayByte(outside: 0..<256) == nil)
            }
        }
    }

    /// Pieces of a line, one after the other, make the line of a whole.
    @Test func partsAddUp() throws {
        let writer = try DmaWriter(engine: .nt, lanes: 1, device: 15)
        let memory = try GuardedPages(pages: 2)
        let stamp = writer.stamp(generation: 3)
        var start = 0
        for length in [1, 100, 27, 4000, 64, 8192 - 4192] {
            writer.write(
                UnsafeMutableRawBufferPointer(rebasing: memory.bytes[start..<start + length]),
                stamp: stamp)
            start += length
        }
        #expect(start == 8192 && firstWord(in: memory.bytes, otherThan: stamp.rawValue) == nil)
    }

    /// A copy of the last request's data would carry the wrong stamp.
    @Test func refusesToCopyUnprepared() async {
        await #expect(processExitsWith: .failure) {
            let writer = try DmaWriter(engine: .copy, lanes: 1, device: 0)
            let memory = try GuardedPages(pages: 1)
            writer.prepare(writer.stamp(generation: 1))
            writer.write(memory.bytes, stamp: writer.stamp(generation: 2))
        }
    }
}
