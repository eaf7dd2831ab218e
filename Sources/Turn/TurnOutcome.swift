import Guest
import Hypervisor
import PinLock
import Telemetry
import VirtualDevice

/// Of all measured requests of a turn in which each has a time at which it is due.
public struct DueFigures: Sendable {
    /// From then until the guest had it back, in nanoseconds; nil where none was completed.
    public let median: UInt64?
    public let percentile99: UInt64?
    /// The most requests of one device that were due and not yet submitted.
    public let longestBacklog: UInt64
}

/// Of a trace's requests that were measured and completed.
public struct ReplayFigures: Sendable {
    /// By which the device wrote guest memory, and read it.
    public let inRequests: UInt64
    public let inBytes: UInt64
    public let outRequests: UInt64
    public let outBytes: UInt64
    /// Runs of bytes of a request.
    public let segmentsMedian: UInt64?
    public let segmentsPercentile99: UInt64?
    public let segmentsMost: UInt64?

    init(_ figures: borrowing TraceFigures) {
        (inRequests, inBytes) = (figures.inRequests, figures.inBytes)
        (outRequests, outBytes) = (figures.outRequests, figures.outBytes)
        segmentsMedian = figures.segments.percentile(50)
        segmentsPercentile99 = figures.segments.percentile(99)
        segmentsMost = figures.segments.maximum
    }
}

/// What came of one turn.
public struct TurnOutcome {
    public let measurements: Measurements
    /// For how long each driver has measured, in nanoseconds.
    let measuredNanoseconds: [Double]
    /// Median of the guest's copies of whole requests out of its pools, in nanoseconds; nil where it has none.
    public let copyMedian: UInt64?
    /// What became of requests that had a time at which they were due; nil where none had.
    public let dues: DueFigures?
    /// What became of a trace's requests; nil where there was none.
    public let replay: ReplayFigures?
    public let conversions: ConversionLog
    /// The guest's sharing of its buffers, and the devices' pins at set-up, in nanoseconds.
    public let setupPSCNanoseconds: UInt64
    public let setupPinNanoseconds: Double
    /// One pin and unpin in a warm loop: the median device's.
    public let hotPair: HotPair
    /// Pages whose canary a device overwrote; pages that were converted while a device had them pinned.
    /// The first is nil without writes, when nobody looks.
    public let violationsPrivate: UInt64?
    public let violationsStale: UInt64
    public let firstViolation: String?
    /// Pins left when all devices had given theirs back.
    public let leakedPins: Int
    public let splits: UInt64
    /// Stores that faulted, and what became of them; nil where nothing could fault.
    public let faults: FaultTotals?
    /// What the devices' caches of pins did from the first request on, warm-up included; nil where they have none.
    public let cache: CacheCounters?
    /// Pages that the guest found taken back.
    public let takenBack: UInt64
    /// Bytes of requests that were completed or given up which never reached the guest.
    public let lostBytes: UInt64
    /// What kept each vCPU from its work, the converter's first.
    public let vcpus: [Interference]
    /// The longest step of a vCPU that takes as long as it takes: so long may a conversion that is due wait.
    public let longestVCPUStep: Double
    /// For how long a CPU quota kept the harness and its devices from running; nil where nobody tells.
    public internal(set) var throttledNanoseconds: UInt64?
    /// How often the harness itself was stopped.
    public internal(set) var harnessStops: UInt64 = 0
    public let warmedUp: Bool
    /// How often a device waited, between two requests, for the harness to take its samples.
    public internal(set) var stalls: UInt64 = 0
    /// When each device's first request that counts began, in ticks; zero where there was none, or no samples were wanted.
    public internal(set) var deviceStarts: [UInt64] = []
    public internal(set) var wasInterrupted = false

    /// The longest time for which a request waited for a conversion before it had its pins or gave up, in nanoseconds;
    /// nil where none did.
    public var longestPinWait: UInt64? {
        measurements.longestPinWait > 0 ? measurements.longestPinWait : nil
    }

    /// The share of its driver's measured time that each device was within a request.
    public var utilisation: [Double] {
        zip(measurements.busyNanoseconds, measuredNanoseconds).map { $1 > 0 ? min(1, $0 / $1) : 0 }
    }

    /// Whether somebody who took part has been stopped, and gone on.
    public var wasStopped: Bool {
        harnessStops > 0 || measurements.interference.contains { $0.stops > 0 }
    }
}
