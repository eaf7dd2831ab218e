import GuestMemory

/// A trace as text, a part at a time: CSV between two lines that begin with `#`.
///
///     # dma-bench trace 1
///     due_ns,queue,direction,ranges
///     0,0,read,4096+1 5000:512+1:1024
///     # end: 1 requests, 0 lost
///
/// A range is `gfn+pages`: its first page and how many there are. Where it begins within the first page, `:bytes` behind
/// the GFN says how many bytes of that come before it; where it ends within the last page, `:bytes` behind the pages says
/// where. The last line is missing where the recording was cut off.
///
/// It writes nothing that a reader would refuse, whatever a guest sends: a request of too many ranges is left out, and at
/// the first that would make the whole too large it stops. Both are counted as lost.
public struct TraceWriter: Sendable {
    public static let version = 1
    static let firstLine = "# dma-bench trace \(version)"
    static let columns = "due_ns,queue,direction,ranges"

    /// How large a trace may become.
    struct Limits {
        var requests = UInt64(Trace.requestLimit)
        var ranges = Trace.segmentLimit
        var bytes = Trace.byteLimit
    }

    /// Requests written so far.
    public private(set) var count: UInt64 = 0
    /// Requests left out so far.
    public private(set) var lost: UInt64 = 0
    /// Why nothing more is written; nil where that is not so.
    public private(set) var limit: String?
    private let limits: Limits
    private var rangeCount = 0
    private var byteCount: Int
    private var start: UInt64?

    /// What may follow the last request: why it is the last, and the end.
    private static let endByteCount = 256

    public init() { self.init(Limits()) }

    init(_ limits: Limits) {
        self.limits = limits
        byteCount = Self.endByteCount
        byteCount += header.count
    }

    /// What a trace begins with.
    public var header: [UInt8] { Array("\(Self.firstLine)\n\(Self.columns)\n".utf8) }

    /// The line of a request, behind `text`; nothing where the request is left out.
    public mutating func write(
        due: UInt64, queue: UInt16, _ direction: TraceDirection,
        _ segments: some Sequence<TraceSegment>, to text: inout [UInt8]
    ) {
        guard limit == nil else {
            lost += 1
            return
        }
        let lineStart = text.count
        var ranges = 0
        text.append(contentsOf: "\(due),\(queue),\(direction.word),".utf8)
        var separator = ""
        for segment in segments {
            var (address, left) = (segment.address, segment.byteCount)
            while left > 0 {
                let offset = address % pageSize
                let bytes = min(left, TraceSegment.pageLimit * pageSize - offset)
                text.append(contentsOf: separator.utf8)
                Self.write(address, bytes, to: &text)
                separator = " "
                ranges += 1
                (address, left) = (address + bytes, left - bytes)
            }
        }
        text.append(UInt8(ascii: "\n"))
        let lineBytes = text.count - lineStart
        if ranges <= Trace.chainLimit {
            limit = limit(reachedAt: due, ranges: ranges, bytes: lineBytes)
        }
        guard ranges <= Trace.chainLimit, limit == nil else {
            text.removeLast(lineBytes)
            lost += 1
            return
        }
        count += 1
        rangeCount += ranges
        byteCount += lineBytes
        start = start ?? due
    }

    /// What a trace cannot have, and would have with one more request like that.
    private func limit(reachedAt due: UInt64, ranges: Int, bytes: Int) -> String? {
        if count >= limits.requests { return "a trace has \(limits.requests) requests at most" }
        if rangeCount + ranges > limits.ranges {
            return "a trace has \(limits.ranges) ranges at most"
        }
        if byteCount + bytes > limits.bytes { return "a trace has \(limits.bytes) bytes at most" }
        if due - (start ?? due) > Trace.spanLimit { return "a trace is of a day at most" }
        return nil
    }

    private static func write(_ address: UInt64, _ byteCount: UInt64, to text: inout [UInt8]) {
        let pages = TraceSegment(address: address, byteCount: byteCount).pages
        let (begin, end) = (address % pageSize, (address + byteCount) % pageSize)
        text.append(contentsOf: "\(pages.lower)".utf8)
        if begin != 0 { text.append(contentsOf: ":\(begin)".utf8) }
        text.append(contentsOf: "+\(pages.count.rawValue)".utf8)
        if end != 0 { text.append(contentsOf: ":\(end)".utf8) }
    }

    /// What a trace ends with; besides those that were left out, so many requests were `lost` before they came here.
    public func end(lost: UInt64) -> [UInt8] {
        let why = limit.map { "# full: \($0)\n" } ?? ""
        return Array(
            "\(why)\(TraceReader.endWord)\(count) requests, \(lost + self.lost) lost\n".utf8)
    }
}

extension Trace {
    /// The whole of it as text.
    public var text: [UInt8] {
        var writer = TraceWriter()
        var text = writer.header
        for (index, request) in requests.enumerated() {
            writer.write(
                due: request.due, queue: request.queue, request.direction, segments(of: index),
                to: &text)
        }
        return text + writer.end(lost: lost)
    }
}
