import GuestMemory
import Settings
import Trace
import Virtqueue

/// A trace in a guest of ours: the pages that it names, moved together, and its requests there.
///
/// The pages keep their order, and what was adjacent stays so. Where others lay between two of them, one page stands for
/// those: so ranges merge where they did, and no others. Page for page it is the same sharing of pages, entries and
/// requests in far less memory; what was 2 MiB aligned is so no more.
public struct TraceLayout: Sendable {
    /// From page 0 on, with the pages that stand between.
    public let pages: PageCount
    /// Runs of bytes of all requests, one after the other.
    private let runs: [ByteRun]
    private let requests: [Request]
    /// The most runs of a request.
    public let longestChain: Int
    /// The most pages that a device pins for a request, where it pins it as a whole.
    public let largestRequest: PageCount
    /// Bytes of all requests together.
    public let byteCount: UInt64
    /// The ways of its requests, to a hundredth of them.
    public let direction: Direction

    /// A request of the trace, in its order.
    public struct Request: Sendable {
        /// In nanoseconds from the first.
        public let due: UInt64
        public let direction: TraceDirection
        public let byteCount: UInt64
        fileprivate let runs: Range<Int>
    }

    public init(_ trace: Trace) {
        let moved = MovedPages(trace.segments.lazy.map(\.pages))
        pages = moved.count
        let runs = trace.segments.map {
            let page = moved.place(of: $0.address / pageSize)
            return ByteRun(
                address: page * pageSize + $0.address % pageSize, byteCount: UInt32($0.byteCount))
        }
        let requests = trace.requests.map { request in
            Request(
                due: request.due, direction: request.direction,
                byteCount: trace.segments[request.segments].reduce(0) { $0 + $1.byteCount },
                runs: request.segments)
        }
        self.runs = runs
        self.requests = requests
        largestRequest = PageCount(requests.map { Self.pinnedPages(runs[$0.runs]) }.max() ?? 0)
        longestChain = requests.map(\.runs.count).max() ?? 0
        byteCount = requests.reduce(0) { $0 + $1.byteCount }
        let reads = requests.count { $0.direction == .read }
        direction =
            switch reads {
            case 0: .write
            case requests.count: .read
            default: .mixed(reads: min(max(UInt64(100 * reads / requests.count), 1), 99))
            }
    }

    /// Pages of the ranges that a device makes of some runs: what touches the range before it, or begins in its last page,
    /// is merged with it (`DeviceRequest`).
    private static func pinnedPages(_ runs: ArraySlice<ByteRun>) -> UInt64 {
        var pages: UInt64 = 0
        var upper = UInt64.max
        for run in runs {
            let lower = run.address / pageSize
            let end = (run.address + UInt64(run.byteCount) - 1) / pageSize + 1
            pages += end - (lower == upper || lower + 1 == upper ? upper : lower)
            upper = end
        }
        return pages
    }

    public var count: Int { requests.count }
    /// From the first request to the last, in nanoseconds.
    public var span: UInt64 { requests.last?.due ?? 0 }

    public subscript(_ index: Int) -> Request { requests[index] }

    /// What a request names of the guest's memory, in its order.
    public func runs(of index: Int) -> ArraySlice<ByteRun> { runs[requests[index].runs] }
}

/// Pages that keep their order and their neighbours, and lose what lies between.
private struct MovedPages {
    /// In the order of addresses, none of which touches the next; and where each begins then.
    private var stretches: [(range: PageRange, start: UInt64)] = []
    let count: PageCount

    init(_ ranges: some Sequence<PageRange>) {
        var next: UInt64 = 0
        for range in ranges.sorted(by: { $0.lower < $1.lower }) {
            if let (last, start) = stretches.last, range.lower <= last.upper {
                guard range.upper > last.upper else { continue }
                next += range.upper - last.upper
                stretches[stretches.count - 1] = (
                    PageRange(start: last.lower, count: range.upper - last.lower), start
                )
                continue
            }
            if !stretches.isEmpty { next += 1 }
            stretches.append((range, next))
            next += range.count.rawValue
        }
        count = PageCount(next)
    }

    /// Where a page is that one of the ranges had.
    func place(of page: UInt64) -> UInt64 {
        var (lower, upper) = (0, stretches.count)
        while upper - lower > 1 {
            let middle = (lower + upper) / 2
            if stretches[middle].range.lower <= page { lower = middle } else { upper = middle }
        }
        let (range, start) = stretches[lower]
        return start + (page - range.lower)
    }
}
