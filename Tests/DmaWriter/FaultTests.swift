import DmaLinux
import Glibc
import GuardedMemory
import GuestMemory
import Testing

@testable import DmaWriter

/// Stores to pages that are write-protected under the writer.
@Suite(
    .enabled("this machine has no userfaultfd that protects shared memory") {
        let memory = try SharedMapping.create(name: "probe", byteCount: 4096)
        return
            (try? WriteProtection(
                of: UnsafeMutableRawBufferPointer(start: memory.base, count: 4096))) != nil
    })
struct FaultTests {
    /// More than `copy` has at hand at once, and an odd number of pages for the lanes to share.
    private static let pages = 1_031

    @Test(arguments: FillEngine.allCases.filter(\.isAvailable), [1, 2])
    func aProtectedPageIsNotWritten(engine: FillEngine, lanes: Int) throws {
        let memory = try GuardedPages(pages: Self.pages)
        let protection = try WriteProtection(of: memory.bytes)
        let writer = try DmaWriter(engine: engine, lanes: lanes, device: 3, expectsFaults: true)
        for (index, page) in [0, 1, 500, 1_029, 1_030].enumerated() {
            let stamp = writer.stamp(generation: UInt64(index + 1))
            let word = engine.pattern(of: stamp)
            let (lower, upper) = (page * 64, (page + 1) * 64)
            let bytes = UInt64(lower * 64)..<UInt64(upper * 64)
            let before = [UInt8](memory.lines(lower..<upper))
            writer.prepare(stamp)
            try protection.set(true, bytes)
            #expect(writer.write(memory.bytes, stamp: stamp) == lower * 64)
            #expect([UInt8](memory.lines(lower..<upper)) == before)
            #expect(firstWord(in: memory.lines(0..<lower), otherThan: word) == nil)

            try protection.set(false, bytes)
            #expect(writer.write(memory.lines(lower..<upper), stamp: stamp) == 4096)
            #expect(writer.write(memory.bytes, stamp: stamp) == memory.bytes.count)
            #expect(firstWord(in: memory.bytes, otherThan: word) == nil)
        }
        #expect(memory.firstStrayByte(outside: 0..<Self.pages * 64) == nil)
    }

    /// Parts of a page: what is before the protected page counts, in lines.
    @Test func theRangeNeedNotBeginWithAPage() throws {
        let memory = try GuardedPages(pages: 3)
        let protection = try WriteProtection(of: memory.bytes)
        let writer = try DmaWriter(engine: .stosq, lanes: 1, device: 3, expectsFaults: true)
        let stamp = writer.stamp(generation: 1)
        try protection.set(true, 4096..<8192)
        #expect(writer.write(memory.lines(60..<70), stamp: stamp) == 4 * 64)
        #expect(writer.write(memory.lines(70..<140), stamp: stamp) == 0)
        #expect(memory.firstStrayByte(outside: 60..<64) == nil)
    }

    /// Parts of lines fault as whole lines do: at the beginning, in the middle, at the end.
    @Test(arguments: FillEngine.allCases.filter(\.isAvailable))
    func partsOfLinesFaultToo(engine: FillEngine) throws {
        let memory = try GuardedPages(pages: 3)
        let protection = try WriteProtection(of: memory.bytes)
        let writer = try DmaWriter(engine: engine, lanes: 1, device: 3, expectsFaults: true)
        let stamp = writer.stamp(generation: 1)
        writer.prepare(stamp)
        try protection.set(true, 4096..<8192)
        for (bytes, written) in [
            (4097..<4100, 0), (4097..<9000, 0), (4095..<4097, 1), (4000..<4200, 96),
            (100..<4096, 3996), (100..<4100, 3996), (4150..<8200, 0), (8192..<8193, 1),
        ] {
            let range = UnsafeMutableRawBufferPointer(rebasing: memory.bytes[bytes])
            #expect(writer.write(range, stamp: stamp) == written, "\(bytes)")
        }
        #expect(memory.bytes[4096..<8192].allSatisfy { $0 == 0 })
    }

    @Test func theProtectionEndsWithItsDescriptor() throws {
        let memory = try GuardedPages(pages: 2)
        let writer = try DmaWriter(engine: .nt, lanes: 1, device: 3, expectsFaults: true)
        let stamp = writer.stamp(generation: 1)
        do {
            let protection = try WriteProtection(of: memory.bytes)
            try protection.set(true, 0..<4096)
            #expect(writer.write(memory.bytes, stamp: stamp) == 0)
        }
        #expect(writer.write(memory.bytes, stamp: stamp) == 8192)
    }

    /// The kernel writes on a program's behalf under the same protection.
    @Test func aSystemCallCannotWriteThereEither() throws {
        let memory = try GuardedPages(pages: 1)
        let protection = try WriteProtection(of: memory.bytes)
        try protection.set(true, 0..<4096)
        #expect(readZeros(into: memory.bytes) == -EFAULT)
        #expect(memory.firstStrayByte(outside: 0..<0) == nil)
        try protection.set(false, 0..<4096)
        #expect(readZeros(into: memory.bytes) == 4096)
    }
}
