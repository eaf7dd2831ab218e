import Glibc
import GuestMemory
import Telemetry

/// The guest's copies out of its pools, and how long they took.
///
/// One for a guest: its vCPU thread copies, and whoever reads the log does so once that thread has ended.
public final class CopyLog {
    /// Of whole requests: the copies of all their pieces, in nanoseconds.
    public private(set) var latency = LatencyHistogram()
    private let clock: TickClock
    private let view: GuestView

    init(clock: TickClock, view: GuestView) {
        self.clock = clock
        self.view = view
    }

    /// Copies a piece that has been completed; how long that took, in ticks.
    func carryOut(_ piece: Piece) -> UInt64 {
        let start = clock.now()
        for (slot, target) in zip(piece.ranges, piece.targets) {
            memcpy(
                view.pointer(to: target), view.pointer(to: slot),
                Int(target.count.bytes.rawValue))
        }
        return clock.now() &- start
    }

    func record(ticks: UInt64) { latency.record(clock.nanoseconds(from: ticks)) }
}
