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
public struct TraceWriter: Sendable {
    public static let version = 1
    static let firstLine = "# dma-bench trace \(version)"
    static let columns = "due_ns,queue,direction,ranges"

    /// Requests written so far.
    public private(set) var count: UInt64 = 0

    public init() {}

    /// What a trace begins with.
    public var header: [UInt8] { Array("\(Self.firstLine)\n\(Self.columns)\n".utf8) }

    /// The line of a request, behind `text`.
    public mutating func write(
        due: UInt64, queue: UInt16, _ direction: TraceDirection,
        _ segments: some Sequence<TraceSegment>, to text: inout [UInt8]
    ) {
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
                (address, left) = (address + bytes, left - bytes)
            }
        }
        text.append(UInt8(ascii: "\n"))
        count += 1
    }

    private static func write(_ address: UInt64, _ byteCount: UInt64, to text: inout [UInt8]) {
        let pages = TraceSegment(address: address, byteCount: byteCount).pages
        let (begin, end) = (address % pageSize, (address + byteCount) % pageSize)
        text.append(contentsOf: "\(pages.lower)".utf8)
        if begin != 0 { text.append(contentsOf: ":\(begin)".utf8) }
        text.append(contentsOf: "+\(pages.count.rawValue)".utf8)
        if end != 0 { text.append(contentsOf: ":\(end)".utf8) }
    }

    /// What a trace ends with; `lost` requests had no room.
    public func end(lost: UInt64) -> [UInt8] {
        Array("\(TraceReader.endWord)\(count) requests, \(lost) lost\n".utf8)
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
