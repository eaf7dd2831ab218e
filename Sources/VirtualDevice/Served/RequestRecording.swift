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

/// When a queue's requests became available, as far as anybody has looked at its ring.
struct ArrivalTimes {
    /// One past the last entry of the available ring that was seen, unless entries were taken that nobody had seen before.
    private var seen: UInt16
    /// In ticks, by the entry's index modulo their number, which is the queue's size.
    private var times: [UInt64]

    init(queueSize: Int, from index: UInt16) {
        seen = index
        times = Array(repeating: 0, count: queueSize)
    }

    /// Takes that all entries before `end` are there now, where `next` is the one that is taken next. An index that went
    /// back, or is further ahead than the queue has entries, says nothing.
    mutating func note(from next: UInt16, before end: UInt16, at now: UInt64) {
        if waiting(from: next) == 0 { seen = next }
        let there = end &- next
        guard Int(there) <= times.count, there > seen &- next else { return }
        while seen != end {
            times[Int(seen) % times.count] = now
            seen &+= 1
        }
    }

    /// When the entry that is taken next was first seen, in ticks; nil where it was not yet.
    func arrival(of next: UInt16) -> UInt64? {
        waiting(from: next) > 0 ? times[Int(next) % times.count] : nil
    }

    /// How many entries have been seen and not been taken.
    private func waiting(from next: UInt16) -> Int {
        let count = Int(seen &- next)
        return count <= times.count ? count : 0
    }
}
