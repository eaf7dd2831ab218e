import Hypervisor
import PinLock
import Telemetry
import VirtualDevice

/// What came of a strategy's turn at a guest of somebody else's.
public struct ServedTurnOutcome {
    public let figures: ServedFigures
    public let conversions: ConversionLog
    public let totals: ServedTotals
    public let setupPinNanoseconds: Double
    public let setupPSCNanoseconds: UInt64
    public let leakedPins: Int
    /// The first disagreement between the strategy's structure, the table and the journals; nil where all agree.
    public let complaint: String?
    /// What kept the device from its work, and then the converter's vCPU, where there was one.
    public let interference: [Interference]
    /// For how long a CPU quota kept harness and device from running; nil where nobody tells.
    public let throttledNanoseconds: UInt64?
    /// How often the harness was stopped.
    public let harnessStops: UInt64
    /// Whether it ended before its time.
    public let wasCutShort: Bool

    /// Of the device's measured time, the share that it was within a request.
    public var busyShare: Double? {
        totals.spanNanoseconds > 0
            ? min(1, figures.requests.totals.busy / totals.spanNanoseconds) : nil
    }
}

/// The device's histograms of a turn.
public final class ServedFigures {
    public private(set) var requests = RequestStatistics()
    public private(set) var segments = LatencyHistogram()
    public private(set) var depth = LatencyHistogram()

    init(_ telemetry: ServedTelemetry) {
        requests.add(storedIn: telemetry.statistics)
        segments.add(storedIn: telemetry.segments)
        depth.add(storedIn: telemetry.depth)
    }
}

/// A turn that is over.
public struct ServedResult {
    public enum Ending {
        case measured(ServedTurnOutcome)
        /// The device died: why, how many pins it had then, and how many were left after they were recovered, or why they
        /// were not.
        case died(String, pins: Int, refusal: RecoveryRefusal?, leakedPins: Int)
        case unavailable(String)
    }

    public let strategy: StrategyID
    /// Counted from 1, as the place in the round's order.
    public let round: Int
    public let position: Int
    public let ending: Ending
}
