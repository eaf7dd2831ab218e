import GuestMemory

/// Proof that a device wrote what its request asked for.
public enum Verification {
    /// How much of a buffer is looked at.
    public enum Coverage: Sendable {
        case everyLine
        /// One line of each 4 KiB, another one for each page and request.
        case oneLinePerPage
    }

    /// How many of the lines looked at do not carry what the request should have left there.
    ///
    /// The buffer starts on a line and is a number of lines long, as what `DmaWriter.write` takes.
    public static func missingLines(
        in buffer: UnsafeRawBufferPointer, expected stamp: Stamp, engine: FillEngine,
        coverage: Coverage
    ) -> Int {
        missingLines(in: buffer, expectedOneOf: [stamp], engine: engine, coverage: coverage)
    }

    /// The same for a buffer that several requests may have written last, line by line.
    public static func missingLines(
        in buffer: UnsafeRawBufferPointer, expectedOneOf stamps: [Stamp], engine: FillEngine,
        coverage: Coverage
    ) -> Int {
        guard let start = buffer.baseAddress, let stamp = stamps.first else { return 0 }
        let words = stamps.map(engine.pattern)
        let lines = buffer.count / lineByteCount
        var missing = 0
        func look(at line: Int) {
            let line = start + line * lineByteCount
            if words.allSatisfy({ lineDiffers(at: line, from: $0) }) { missing += 1 }
        }
        switch coverage {
        case .everyLine:
            for line in 0..<lines { look(at: line) }
        case .oneLinePerPage:
            let linesPerPage = Int(pageSize) / lineByteCount
            for first in stride(from: 0, to: lines, by: linesPerPage) {
                let turn = Int(stamp.generation) + first / linesPerPage
                look(at: first + turn % min(linesPerPage, lines - first))
            }
        }
        return missing
    }
}
