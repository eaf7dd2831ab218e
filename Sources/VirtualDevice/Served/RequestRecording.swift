import Telemetry
import Trace
import Virtqueue

/// Writes down what requests a guest sends, for whoever records a trace. One for each device process.
final class RequestRecording {
    private var producer: TraceRing.Producer

    init(_ ring: TraceRing) { producer = ring.producer() }

    /// Takes a request that moves data, which became available at `arrival`, in ticks.
    func take(_ request: borrowing DeviceRequest, queue: Int, arrival: UInt64) {
        let direction: TraceDirection
        switch request.type {
        case .in: direction = .write
        case .out: direction = .read
        default: return
        }
        let count = request.segmentCount
        guard count > 0,
            producer.begin(
                at: arrival, queue: UInt16(truncatingIfNeeded: queue), direction, segments: count)
        else { return }
        for index in 0..<count {
            let segment = request.segment(index)
            producer.add(address: segment.address, byteCount: segment.byteCount)
        }
        producer.end()
    }
}

/// When a queue's requests became available. The device looks at the ring only between two requests, so a time may be late
/// by the length of one.
struct ArrivalTimes {
    /// One past the last entry of the available ring that was seen.
    private var seen: UInt16
    /// In ticks, by the entry's index modulo their number, which is the queue's size.
    private var times: [UInt64]

    init(queueSize: Int, from index: UInt16) {
        seen = index
        times = Array(repeating: 0, count: queueSize)
    }

    /// Takes that all entries before `index` are there now; no more than the queue's size of them are new.
    mutating func note(before index: UInt16, at now: UInt64) {
        // An index that went back says nothing new.
        guard Int16(bitPattern: index &- seen) > 0 else { return }
        while seen != index {
            times[Int(seen) % times.count] = now
            seen &+= 1
        }
    }

    subscript(_ index: UInt16) -> UInt64 { times[Int(index) % times.count] }
}
