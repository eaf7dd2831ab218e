import Glibc
import GuestMemory
import Telemetry

/// The guest's copies of a device's requests out of its pool, or into it, and how long they took.
///
/// The driver copies a bounded part at a time, since other programs wait meanwhile; whoever reads the log does so once
/// the driver has ended.
public struct CopyLog: ~Copyable {
    /// Of whole requests: the copies of all their pieces, in nanoseconds.
    private var latency = LatencyHistogram()
    private let clock: TickClock
    private let view: GuestView
    /// Of the request under way.
    private var ticks: UInt64 = 0
    /// What has been copied of the piece: whole ranges, and bytes of the next.
    private var range = 0
    private var offset = 0

    /// The most bytes in a step: some tens of microseconds.
    static let stepBytes = 256 << 10

    init(clock: TickClock, view: GuestView) {
        self.clock = clock
        self.view = view
    }

    /// Copies the next part of a piece that has been completed out of the pool, or of one that is to be read into it;
    /// true once the whole of it is copied.
    mutating func step(_ piece: Piece, intoPool: Bool = false) -> Bool {
        let start = clock.now()
        var left = Self.stepBytes
        while left > 0, range < piece.ranges.count {
            let target = piece.targets[range]
            let count = min(left, Int(target.count.bytes.rawValue) - offset)
            let (inside, outside) = (
                view.pointer(to: piece.ranges[range]) + offset, view.pointer(to: target) + offset
            )
            memcpy(intoPool ? inside : outside, intoPool ? outside : inside, count)
            left -= count
            offset += count
            if offset == Int(target.count.bytes.rawValue) { (range, offset) = (range + 1, 0) }
        }
        ticks &+= clock.now() &- start
        guard range == piece.ranges.count else { return false }
        (range, offset) = (0, 0)
        return true
    }

    func addLatency(to histogram: inout LatencyHistogram) { histogram.add(latency) }

    /// The request is over; it counts where it was measured.
    mutating func endRequest(counts: Bool) {
        if counts { latency.record(clock.nanoseconds(from: ticks)) }
        ticks = 0
    }
}
