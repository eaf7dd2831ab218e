import GuestMemory
import Telemetry
import Trace
import Virtqueue

/// What became of the requests of a trace that were measured and completed.
public struct TraceFigures: ~Copyable {
    /// Requests by which the device wrote guest memory, and read it; and their bytes.
    public private(set) var inRequests: UInt64 = 0
    public private(set) var inBytes: UInt64 = 0
    public private(set) var outRequests: UInt64 = 0
    public private(set) var outBytes: UInt64 = 0
    /// Runs of bytes of a request.
    public private(set) var segments = LatencyHistogram()

    public init() {}

    fileprivate mutating func count(_ request: TraceLayout.Request, segments count: Int) {
        switch request.direction {
        case .write:
            inRequests += 1
            inBytes += request.byteCount
        case .read:
            outRequests += 1
            outBytes += request.byteCount
        }
        segments.record(UInt64(count))
    }

    /// Takes in what another driver has seen.
    public mutating func add(_ other: borrowing TraceFigures) {
        inRequests += other.inRequests
        inBytes += other.inBytes
        outRequests += other.outRequests
        outBytes += other.outBytes
        segments.add(other.segments)
    }
}

/// A trace's requests on their way through a driver: which comes next, and which of them are in flight.
///
/// Those of the warm-up are the trace's as well; what is measured begins with its first.
struct TraceRequests: ~Copyable {
    private let layout: TraceLayout
    /// By their places in the queue.
    private var inFlight: [Int]
    private var next = 0
    private var isMeasured = false
    private var figures = TraceFigures()

    /// `places` is how many requests the queue has room for.
    init(_ layout: TraceLayout, places: Int) {
        precondition(layout.count > 0, "a trace without requests")
        self.layout = layout
        inFlight = Array(repeating: 0, count: places)
    }

    /// Submits the request that comes next: the first behind the last.
    mutating func submit(
        to ring: inout DriverQueue, generation: UInt64, isMeasured: Bool
    ) -> PreparedRequest {
        if isMeasured, !self.isMeasured { (self.isMeasured, next) = (true, 0) }
        let index = next
        next = index + 1 == layout.count ? 0 : index + 1
        do throws(PrepareError) {
            let request = try ring.submit(
                layout[index].direction == .write ? .in : .out, bytes: layout.runs(of: index),
                generation: generation)
            inFlight[request.slot] = index
            return request
        } catch {
            preconditionFailure("request \(index) of a queue laid out for the trace: \(error)")
        }
    }

    /// The request of that place has come back; it counts where it was measured and completed.
    mutating func end(place: Int, counts: Bool) {
        guard counts else { return }
        let index = inFlight[place]
        figures.count(layout[index], segments: layout.runs(of: index).count)
    }

    func add(to other: inout TraceFigures) { other.add(figures) }
}
