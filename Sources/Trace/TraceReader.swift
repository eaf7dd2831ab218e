import GuestMemory

/// Why a text is no trace, and where.
public struct TraceError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Counted from 1.
    public let line: Int
    public let reason: String

    public var description: String { "line \(line): \(reason)" }
}

/// Reads a trace, whole or not at all. The text may be anything.
struct TraceReader {
    static let endWord = "# end: "
    private var trace = Trace()
    private var line = 0
    /// What the first request and the last have for a time.
    private var start: UInt64?
    private var previous: UInt64 = 0

    static func read(_ text: [UInt8]) throws(TraceError) -> Trace {
        var reader = TraceReader()
        var start = 0
        while start < text.count {
            reader.line += 1
            guard let end = text[start...].firstIndex(of: UInt8(ascii: "\n")) else {
                throw reader.error(
                    "it is cut off: no line end follows; record it again, or delete it")
            }
            try reader.take(text[start..<end])
            start = end + 1
        }
        reader.line += 1
        guard reader.line > 1 else {
            throw reader.error("nothing is there; a trace begins with '\(TraceWriter.firstLine)'")
        }
        guard reader.line > 2 else {
            throw reader.error("it ends before its columns: '\(TraceWriter.columns)'")
        }
        guard !reader.trace.requests.isEmpty else { throw reader.error("it has no requests") }
        return reader.trace
    }

    private var hasEnded = false

    private mutating func take(_ bytes: ArraySlice<UInt8>) throws(TraceError) {
        if hasEnded { throw error("something follows the line that ends a trace") }
        switch line {
        case 1:
            guard bytes.elementsEqual(TraceWriter.firstLine.utf8) else {
                throw error(
                    "a trace of this version begins with '\(TraceWriter.firstLine)'; serve --record makes one"
                )
            }
        case 2:
            guard bytes.elementsEqual(TraceWriter.columns.utf8) else {
                throw error("the columns are '\(TraceWriter.columns)'")
            }
        case _ where bytes.starts(with: Self.endWord.utf8): try takeEnd(bytes)
        case _ where bytes.first == UInt8(ascii: "#"): break
        default: try takeRequest(bytes)
        }
    }

    private mutating func takeEnd(_ bytes: ArraySlice<UInt8>) throws(TraceError) {
        var scanner = Scanner(bytes.dropFirst(Self.endWord.utf8.count))
        guard let count = scanner.number(), scanner.skip(" requests, "),
            let lost = scanner.number(), scanner.skip(" lost"), scanner.isAtEnd
        else { throw error("the last line is '\(Self.endWord)N requests, N lost'") }
        guard count == trace.requests.count else {
            throw error("\(trace.requests.count) requests, where there were \(count)")
        }
        trace.lost = lost
        hasEnded = true
    }

    private mutating func takeRequest(_ bytes: ArraySlice<UInt8>) throws(TraceError) {
        guard trace.requests.count < Trace.requestLimit else {
            throw error("a trace has \(Trace.requestLimit) requests at most")
        }
        var scanner = Scanner(bytes)
        guard let time = scanner.number(), scanner.skip(",") else {
            throw error("due_ns is a number of nanoseconds, and a comma follows")
        }
        guard time >= previous else {
            throw error("due_ns is \(time), before that of the request above")
        }
        // What is cut out of a trace begins anywhere.
        let due = time - (start ?? time)
        guard due <= Trace.spanLimit else {
            throw error("due_ns is more than a day after that of the first request")
        }
        guard let queue = scanner.number(), queue <= UInt16.max, scanner.skip(",") else {
            throw error("queue is a number up to \(UInt16.max), and a comma follows")
        }
        let direction: TraceDirection
        if scanner.skip("read,") {
            direction = .read
        } else if scanner.skip("write,") {
            direction = .write
        } else {
            throw error("direction is 'read' or 'write', and a comma follows")
        }
        var segments: [TraceSegment] = []
        repeat {
            guard segments.count < Trace.chainLimit else {
                throw error("a request has \(Trace.chainLimit) ranges at most")
            }
            segments.append(try segment(&scanner))
        } while scanner.skip(" ")
        guard scanner.isAtEnd else { throw error("something follows the ranges") }
        guard trace.segments.count + segments.count <= Trace.segmentLimit else {
            throw error("a trace has \(Trace.segmentLimit) ranges at most")
        }
        trace.append(due: due, queue: UInt16(queue), direction, segments)
        (start, previous) = (start ?? time, time)
    }

    private func segment(_ scanner: inout Scanner) throws(TraceError) -> TraceSegment {
        func offset() throws(TraceError) -> UInt64 {
            guard scanner.skip(":") else { return 0 }
            guard let bytes = scanner.number(), (1..<pageSize).contains(bytes) else {
                throw error("behind ':' stands a number of bytes, 1 to \(pageSize - 1)")
            }
            return bytes
        }
        guard let page = scanner.number() else {
            throw error("a range is gfn+pages, as in 4096+1 or 5000:512+1:1024")
        }
        let begin = try offset()
        guard scanner.skip("+"), let count = scanner.number() else {
            throw error("a range is gfn+pages, as in 4096+1 or 5000:512+1:1024")
        }
        let end = try offset()
        guard (1...TraceSegment.pageLimit).contains(count) else {
            throw error("a range of \(count) pages: 1 to \(TraceSegment.pageLimit)")
        }
        guard page < PageRange.frameLimit, count <= PageRange.frameLimit - page else {
            throw error("a range of \(count) pages at GFN \(page), above 16 TiB")
        }
        guard count > 1 || end == 0 || begin < end else {
            throw error("a range that ends at byte \(end) of its page and begins at byte \(begin)")
        }
        return TraceSegment(
            address: page * pageSize + begin,
            byteCount: (end == 0 ? count : count - 1) * pageSize + end - begin)
    }

    private func error(_ reason: String) -> TraceError { TraceError(line: line, reason: reason) }
}

extension Trace {
    /// The most bytes that a trace is read from.
    public static let byteLimit = 256 << 20

    /// Reads what `text` says.
    public init(_ text: [UInt8]) throws(TraceError) { self = try TraceReader.read(text) }
}

/// Walks through the bytes of a line.
private struct Scanner {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    var isAtEnd: Bool { rest.isEmpty }

    /// The decimal number that comes next; nil where there is none, or it has more than 64 bits.
    mutating func number() -> UInt64? {
        var value: UInt64 = 0
        var hasDigits = false
        while let byte = rest.first, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) {
            let (product, isTooLarge) = value.multipliedReportingOverflow(by: 10)
            let (sum, overflows) = product.addingReportingOverflow(
                UInt64(byte - UInt8(ascii: "0")))
            guard !isTooLarge, !overflows else { return nil }
            value = sum
            hasDigits = true
            rest = rest.dropFirst()
        }
        return hasDigits ? value : nil
    }

    /// Goes past these characters, where they come next.
    mutating func skip(_ text: StaticString) -> Bool {
        let bytes = UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
        guard rest.starts(with: bytes) else { return false }
        rest = rest.dropFirst(bytes.count)
        return true
    }
}
