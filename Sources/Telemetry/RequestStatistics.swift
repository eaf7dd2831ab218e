import DmaLinux

/// What a device has measured of its requests: histograms of its own, so that nobody has to collect samples.
///
/// The device fills it, and writes it to shared memory once its turn is over (`store`); the harness adds up what all
/// devices have written (`add`).
public struct RequestStatistics: ~Copyable {
    /// Of completed requests, in nanoseconds.
    public private(set) var pin = LatencyHistogram()
    public private(set) var write = LatencyHistogram()
    public private(set) var unpin = LatencyHistogram()
    /// From the first pin to the last unpin.
    public private(set) var dma = LatencyHistogram()
    public private(set) var totals = Totals()

    public struct Totals: BitwiseCopyable, Sendable {
        public var operations: UInt64 = 0
        public var refused: UInt64 = 0
        public var bytes: UInt64 = 0
        /// Pins tried again because a page was being converted.
        public var retries: UInt64 = 0
        /// Totals of the completed requests, in nanoseconds with fractions.
        public var pin = 0.0
        public var write = 0.0
        public var unpin = 0.0
        /// From the first pin to the last unpin, of the requests that were refused as well.
        public var busy = 0.0
        /// Wall time of the completed requests, from the end of the one before to their own, in nanoseconds.
        public var cycle = 0.0
        /// Of the whole turn, warm-up included: pages that were converted while they were pinned, the first of them, and
        /// in which request.
        public var stalePages: UInt64 = 0
        public var firstStaleGFN: UInt64 = 0
        public var firstStaleGeneration: UInt64 = 0

        public init() {}
    }

    public init() {}

    /// Takes a request that was measured.
    public mutating func record(_ sample: DMASample, clock: TickClock) {
        totals.retries += UInt64(sample.retries)
        totals.busy += clock.nanoseconds(from: sample.totalTicks)
        guard sample.status == 0 else {
            totals.refused += 1
            return
        }
        totals.operations += 1
        totals.bytes += sample.bytes
        pin.record(clock.nanoseconds(from: sample.pinTicks))
        unpin.record(clock.nanoseconds(from: sample.unpinTicks))
        dma.record(clock.nanoseconds(from: sample.totalTicks))
        totals.pin += clock.nanoseconds(from: sample.pinTicks)
        totals.unpin += clock.nanoseconds(from: sample.unpinTicks)
        totals.cycle += clock.nanoseconds(from: sample.totalTicks &+ sample.gapTicks)
        if sample.bytes > 0 {
            write.record(clock.nanoseconds(from: sample.writeTicks))
            totals.write += clock.nanoseconds(from: sample.writeTicks)
        }
    }

    /// Takes pages that a request found converted under its pins, whether or not it is measured.
    public mutating func noteStale(_ sample: DMASample) {
        guard sample.stalePages > 0 else { return }
        if totals.stalePages == 0 {
            totals.firstStaleGFN = UInt64(sample.firstGFN)
            totals.firstStaleGeneration = sample.generation
        }
        totals.stalePages += UInt64(sample.stalePages)
    }

    // MARK: From the device to the harness

    /// Bytes of shared memory that it takes at most; what is not needed stays untouched.
    public static let byteCount = 4096 + 4 * LatencyHistogram.storedByteCount

    /// Writes all of it to memory of `byteCount` bytes.
    public func store(in bytes: UnsafeMutableRawBufferPointer) {
        bytes.storeBytes(of: totals, as: Totals.self)
        pin.store(in: Self.part(0, of: bytes))
        write.store(in: Self.part(1, of: bytes))
        unpin.store(in: Self.part(2, of: bytes))
        dma.store(in: Self.part(3, of: bytes))
    }

    /// Adds what a device has stored.
    public mutating func add(storedIn bytes: UnsafeMutableRawBufferPointer) {
        totals.add(bytes.load(as: Totals.self))
        pin.add(storedIn: Self.part(0, of: bytes))
        write.add(storedIn: Self.part(1, of: bytes))
        unpin.add(storedIn: Self.part(2, of: bytes))
        dma.add(storedIn: Self.part(3, of: bytes))
    }

    private static func part(
        _ index: Int, of bytes: UnsafeMutableRawBufferPointer
    ) -> UnsafeMutableRawBufferPointer {
        let start = 4096 + index * LatencyHistogram.storedByteCount
        return UnsafeMutableRawBufferPointer(
            rebasing: bytes[start..<start + LatencyHistogram.storedByteCount])
    }

    // MARK: What follows from it

    /// Time in pin, write and unpin, in nanoseconds.
    public var phaseTotal: Double { totals.pin + totals.write + totals.unpin }

    /// (pin + unpin) / (pin + write + unpin), of total time; nil where nothing was written.
    public var syncShare: Double? {
        guard totals.write > 0 else { return nil }
        return (totals.pin + totals.unpin) / phaseTotal
    }

    /// The share of the requests' wall time that was neither pin nor write nor unpin: the guest's driver, the queue,
    /// the oracle's look. Nil before any.
    public var outsideShare: Double? {
        totals.cycle > 0 ? max(0, 1 - phaseTotal / totals.cycle) : nil
    }

    /// Bytes written per second of writing; nil where nothing was written.
    public var writeBytesPerSecond: Double? {
        totals.write > 0 ? Double(totals.bytes) / totals.write * 1e9 : nil
    }

    /// Exact means, in nanoseconds; nil before any request.
    public var pinMean: Double? { mean(totals.pin) }
    public var unpinMean: Double? { mean(totals.unpin) }

    private func mean(_ total: Double) -> Double? {
        totals.operations > 0 ? total / Double(totals.operations) : nil
    }
}

extension RequestStatistics.Totals {
    mutating func add(_ other: RequestStatistics.Totals) {
        operations += other.operations
        refused += other.refused
        bytes += other.bytes
        retries += other.retries
        pin += other.pin
        write += other.write
        unpin += other.unpin
        busy += other.busy
        cycle += other.cycle
        if stalePages == 0 {
            firstStaleGFN = other.firstStaleGFN
            firstStaleGeneration = other.firstStaleGeneration
        }
        stalePages += other.stalePages
    }
}
