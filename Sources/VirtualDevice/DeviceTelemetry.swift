import DmaLinux
import Synchronization
import Telemetry

/// The telemetry memfd of one device: the words through which a turn begins to be measured and ends, the ring of its
/// samples, and what it has measured once the turn is over.
public struct DeviceTelemetry: Sendable {
    /// Whether a device's memory has settled.
    public enum Settling: UInt32, Sendable {
        case underWay = 0
        case done = 1
        /// It did not, in the time that it had.
        case givenUp = 2
    }

    public static let ringCapacity = 16_384
    private static let ringOffset = 4096
    private static let statisticsOffset =
        (ringOffset + SampleRing.byteCount(capacity: ringCapacity) + 4095) & ~4095
    public static let byteCount = statisticsOffset + RequestStatistics.byteCount

    /// Empty unless the turn streams its samples.
    public let ring: SampleRing
    private let mapping: SharedMapping

    public init(_ mapping: SharedMapping) {
        self.mapping = mapping
        ring = SampleRing(in: mapping, offset: Self.ringOffset, capacity: Self.ringCapacity)
    }

    private func word<Value>(_ line: Int) -> UnsafeMutablePointer<Atomic<Value>> {
        (mapping.base + 64 * line).assumingMemoryBound(to: Atomic<Value>.self)
    }
    private var stopWord: UnsafeMutablePointer<Atomic<UInt32>> { word(0) }
    private var settlingWord: UnsafeMutablePointer<Atomic<UInt32>> { word(1) }
    private var measuresFromWord: UnsafeMutablePointer<Atomic<UInt64>> { word(2) }
    private var lastFailureWord: UnsafeMutablePointer<Atomic<UInt32>> { word(3) }
    private var firstStartWord: UnsafeMutablePointer<Atomic<UInt64>> { word(4) }

    /// Makes it ready for a turn, before the device hears of that.
    public func reset() {
        settlingWord.pointee.store(Settling.underWay.rawValue, ordering: .relaxed)
        measuresFromWord.pointee.store(.max, ordering: .relaxed)
        firstStartWord.pointee.store(0, ordering: .relaxed)
        lastFailure = .ioError
        shouldStop = false
    }

    /// Whether the device should finish what it has begun and end the turn. Written by the hypervisor.
    public var shouldStop: Bool {
        @inline(__always) get { stopWord.pointee.load(ordering: .acquiring) != 0 }
        nonmutating set { stopWord.pointee.store(newValue ? 1 : 0, ordering: .releasing) }
    }

    /// Written by the device.
    public var settling: Settling {
        get { Settling(rawValue: settlingWord.pointee.load(ordering: .acquiring)) ?? .givenUp }
        nonmutating set { settlingWord.pointee.store(newValue.rawValue, ordering: .releasing) }
    }

    /// The generation of the first request that counts. Written by the guest's driver, before it submits that.
    public var measuresFrom: UInt64 {
        @inline(__always) get { measuresFromWord.pointee.load(ordering: .acquiring) }
        nonmutating set { measuresFromWord.pointee.store(newValue, ordering: .releasing) }
    }

    /// How the request ended that failed last, `ioError` where none has. Written by the device before it completes that one,
    /// so that the driver, which finds it failed, has the reason.
    public var lastFailure: RequestOutcome {
        get {
            RequestOutcome(
                rawValue: UInt8(
                    truncatingIfNeeded: lastFailureWord.pointee.load(ordering: .acquiring)))
                ?? .ioError
        }
        nonmutating set {
            lastFailureWord.pointee.store(UInt32(newValue.rawValue), ordering: .releasing)
        }
    }

    /// When the first request that counts began, in ticks; zero until then, and where samples are not streamed. Samples say
    /// how long everything took, this when: written by the device before the sample.
    public var firstStart: UInt64 {
        get { firstStartWord.pointee.load(ordering: .acquiring) }
        nonmutating set { firstStartWord.pointee.store(newValue, ordering: .releasing) }
    }

    /// Where the device leaves its statistics, before it says that it is done.
    public var statistics: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(
            start: mapping.base + Self.statisticsOffset, count: RequestStatistics.byteCount)
    }
}
