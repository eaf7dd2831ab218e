import DmaWriter
import GuardedMemory
import GuestMemory
import Testing

@Suite struct VerificationTests {
    private static func missing(
        _ memory: GuardedPages, _ stamp: Stamp, _ engine: FillEngine,
        _ coverage: Verification.Coverage = .everyLine
    ) -> Int {
        Verification.missingLines(
            in: UnsafeRawBufferPointer(memory.bytes), expected: stamp, engine: engine,
            coverage: coverage)
    }

    @Test(arguments: FillEngine.allCases.filter(\.isAvailable))
    func findsWhatWasNotWritten(engine: FillEngine) throws {
        let memory = try GuardedPages(pages: 5)
        let writer = try DmaWriter(engine: engine, lanes: 1, device: 2)
        let stamp = writer.stamp(generation: 8)
        #expect(Self.missing(memory, stamp, engine) == 320)
        #expect(Self.missing(memory, stamp, engine, .oneLinePerPage) == 5)
        writer.prepare(stamp)
        writer.write(memory.lines(0..<319), stamp: stamp)
        #expect(Self.missing(memory, stamp, engine) == 1)
        writer.write(memory.bytes, stamp: stamp)
        #expect(Self.missing(memory, stamp, engine) == 0)
        #expect(Self.missing(memory, stamp, engine, .oneLinePerPage) == 0)
    }

    /// What the request before left does not pass for this one's.
    @Test(arguments: FillEngine.allCases.filter(\.isAvailable))
    func findsStaleData(engine: FillEngine) throws {
        let memory = try GuardedPages(pages: 2)
        let writer = try DmaWriter(engine: engine, lanes: 1, device: 2)
        writer.prepare(writer.stamp(generation: 8))
        writer.write(memory.bytes, stamp: writer.stamp(generation: 8))
        #expect(Self.missing(memory, writer.stamp(generation: 9), engine) == 128)
        #expect(Self.missing(memory, Stamp(device: 3, generation: 8), engine) == 128)
    }

    /// Any byte counts: a line is right as a whole or missing.
    @Test func looksAtEveryByte() throws {
        let memory = try GuardedPages(pages: 1)
        let writer = try DmaWriter(engine: .memset, lanes: 1, device: 2)
        let stamp = writer.stamp(generation: 1)
        writer.write(memory.bytes, stamp: stamp)
        for index in memory.bytes.indices {
            memory.bytes[index] ^= 0x10
            #expect(Self.missing(memory, stamp, .memset) == 1, "byte \(index)")
            memory.bytes[index] ^= 0x10
        }
    }

    /// One line per page, yet over 64 requests each line has had its turn, in a part of a page too;
    /// none behind it is looked at.
    @Test(arguments: [64, 128, 128 + 17])
    func sampleReachesEveryLine(lines: Int) throws {
        let memory = try GuardedPages(pages: 3)
        let writer = try DmaWriter(engine: .memset, lanes: 1, device: 2)
        for hole in 0..<lines {
            var found = 0
            for generation in UInt64(0)..<64 {
                let stamp = writer.stamp(generation: generation)
                writer.write(memory.lines(0..<lines), stamp: stamp)
                memory.bytes[hole * 64] ^= 1
                let missing = Verification.missingLines(
                    in: UnsafeRawBufferPointer(memory.lines(0..<lines)), expected: stamp,
                    engine: .memset, coverage: .oneLinePerPage)
                #expect(missing <= 1)
                found += missing
            }
            // A page's turn comes back after as many requests as it has lines.
            let linesOfPage = min(64, lines - hole / 64 * 64)
            #expect(found >= 64 / linesOfPage, "line \(hole)")
            #expect(found <= (63 + linesOfPage) / linesOfPage, "line \(hole)")
        }
    }
}
