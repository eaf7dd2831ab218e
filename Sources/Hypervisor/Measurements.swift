import Telemetry

/// What one turn's DMAs took: in place, by the devices' clock.
public final class Measurements {
    public internal(set) var pin = LatencyHistogram()
    public internal(set) var write = LatencyHistogram()
    public internal(set) var unpin = LatencyHistogram()
    /// From the first pin to the last unpin.
    public internal(set) var dma = LatencyHistogram()
    public private(set) var operations: UInt64 = 0
    public private(set) var refused: UInt64 = 0
    public private(set) var bytes: UInt64 = 0
    /// Pins tried again because a page was being converted.
    public private(set) var retries: UInt64 = 0
    /// Totals of the completed requests, in nanoseconds with fractions.
    public private(set) var pinTotal = 0.0
    public private(set) var writeTotal = 0.0
    public private(set) var unpinTotal = 0.0
    /// Wall time of the same requests, from the end of the one before to their own, in nanoseconds.
    private var cycleTotal = 0.0

    init() {}

    func record(_ sample: DMASample, clock: TickClock) {
        retries += UInt64(sample.retries)
        guard sample.status == 0 else {
            refused += 1
            return
        }
        operations += 1
        bytes += sample.bytes
        pin.record(clock.nanoseconds(from: sample.pinTicks))
        unpin.record(clock.nanoseconds(from: sample.unpinTicks))
        dma.record(clock.nanoseconds(from: sample.totalTicks))
        pinTotal += clock.nanoseconds(from: sample.pinTicks)
        unpinTotal += clock.nanoseconds(from: sample.unpinTicks)
        cycleTotal += clock.nanoseconds(from: sample.totalTicks + sample.gapTicks)
        if sample.bytes > 0 {
            write.record(clock.nanoseconds(from: sample.writeTicks))
            writeTotal += clock.nanoseconds(from: sample.writeTicks)
        }
    }

    /// Time in pin, write and unpin, in nanoseconds.
    public var phaseTotal: Double { pinTotal + writeTotal + unpinTotal }

    /// (pin + unpin) / (pin + write + unpin), of total time; nil where nothing was written.
    public var syncShare: Double? {
        guard writeTotal > 0 else { return nil }
        return (pinTotal + unpinTotal) / phaseTotal
    }

    /// The share of the requests' wall time that was neither pin nor write nor unpin: the guest's driver, the queue,
    /// the oracle's look. Nil before any.
    public var outsideShare: Double? {
        cycleTotal > 0 ? max(0, 1 - phaseTotal / cycleTotal) : nil
    }

    /// Bytes written per second of writing; nil where nothing was written.
    public var writeBytesPerSecond: Double? {
        writeTotal > 0 ? Double(bytes) / writeTotal * 1e9 : nil
    }
}

/// Whether memory has settled: windows of at least 2 ms of writing, of which the last three agree within 3 %.
struct WarmUp {
    private static let windowNanoseconds = 2_000_000.0
    private static let tolerance = 1.03
    private static let windowLimit = 8

    private var windows: [Double] = []
    private var time = 0.0
    private var bytes = 0.0
    private var operations = 0
    private let writes: Bool

    init(writes: Bool) { self.writes = writes }

    /// The bound was reached before three windows agreed.
    private(set) var gaveUp = false

    /// Takes a completed DMA; true when the measurement may begin.
    mutating func isDone(after sample: DMASample, clock: TickClock) -> Bool {
        operations += 1
        // Without writes there is no memory to settle: caches and branches have seen three requests.
        guard writes else { return operations >= 3 }
        time += clock.nanoseconds(from: sample.writeTicks)
        bytes += Double(sample.bytes)
        guard time >= Self.windowNanoseconds, bytes > 0 else { return false }
        windows.append(time / bytes)
        (time, bytes) = (0, 0)
        let last = windows.suffix(3)
        if last.count == 3, last.max()! <= last.min()! * Self.tolerance { return true }
        gaveUp = windows.count >= Self.windowLimit
        return gaveUp
    }
}
