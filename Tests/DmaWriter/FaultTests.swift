import Glibc
import GuardedMemory
import GuestMemory
import Linux
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
