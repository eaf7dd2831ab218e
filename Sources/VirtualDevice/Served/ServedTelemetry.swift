import DmaLinux
import GuestMemory
import Synchronization
import Telemetry

/// What a device that serves and its hypervisor see of each other in passing: shared memory, one for each device.
public struct ServedTelemetry: Sendable {
    /// Ranges that requests have named last.
    public static let recentCapacity = 64
    public static let regionLimit = 512

    private static let recentOffset = 4096
    private static let regionOffset = 8192
    private static let statisticsOffset = regionOffset + 16 * regionLimit
    private static let segmentsOffset = statisticsOffset + RequestStatistics.byteCount
    private static let depthOffset = segmentsOffset + LatencyHistogram.storedByteCount
    public static let byteCount = depthOffset + LatencyHistogram.storedByteCount

    private let mapping: SharedMapping

    public init(_ mapping: SharedMapping) { self.mapping = mapping }

    private func word(_ offset: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        (mapping.base + offset).assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    /// Requests of the turn. Written by the device.
    public var requests: UInt64 {
        @inline(__always) get { word(0).pointee.load(ordering: .relaxed) }
        @inline(__always) nonmutating set { word(0).pointee.store(newValue, ordering: .relaxed) }
    }

    /// Whether requests that wait for pages are to give up, and the device to hurry. Written by the hypervisor.
    public var shouldStop: Bool {
        get { word(64).pointee.load(ordering: .acquiring) != 0 }
        nonmutating set { word(64).pointee.store(newValue ? 1 : 0, ordering: .releasing) }
    }

    // MARK: Where the traffic is

    /// Device: a request is about to pin this.
    @inline(__always)
    func note(_ range: PageRange, number: UInt64) {
        let place = Int(number % UInt64(Self.recentCapacity))
        // One word: whoever reads it gets a range that was named. 2^24 pages are 64 GiB of one range.
        let word = word(Self.recentOffset + 8 * place)
        word.pointee.store(
            range.lower << 24 | min(range.count.rawValue, 1 << 24 - 1), ordering: .relaxed)
    }

    /// Hypervisor: one of the last ranges, by its age; nil where there were not so many.
    public func recent(age: UInt64) -> PageRange? {
        let number = requests
        guard age < UInt64(Self.recentCapacity), age < number else { return nil }
        let place = Int((number - 1 - age) % UInt64(Self.recentCapacity))
        let packed = word(Self.recentOffset + 8 * place).pointee.load(ordering: .relaxed)
        let count = packed & (1 << 24 - 1)
        return count > 0 ? PageRange(start: packed >> 24, count: count) : nil
    }

    // MARK: Guest memory

    /// The guest's regions, in the order of their addresses. Written by the device before it says that they have changed.
    public var regions: [PageRange] {
        get {
            let count = min(
                Int(clamping: word(Self.regionOffset).pointee.load(ordering: .acquiring)),
                Self.regionLimit - 1)
            return (0..<count).map {
                let place = Self.regionOffset + 16 * ($0 + 1)
                return PageRange(
                    start: word(place).pointee.load(ordering: .relaxed),
                    count: word(place + 8).pointee.load(ordering: .relaxed))
            }
        }
        nonmutating set {
            precondition(newValue.count < Self.regionLimit, "\(newValue.count) regions")
            for (index, range) in newValue.enumerated() {
                let place = Self.regionOffset + 16 * (index + 1)
                word(place).pointee.store(range.lower, ordering: .relaxed)
                word(place + 8).pointee.store(range.count.rawValue, ordering: .relaxed)
            }
            word(Self.regionOffset).pointee.store(UInt64(newValue.count), ordering: .releasing)
        }
    }

    // MARK: What a turn has measured

    public var statistics: UnsafeMutableRawBufferPointer {
        part(Self.statisticsOffset, RequestStatistics.byteCount)
    }
    /// Histograms of numbers: segments of a request's data, and requests outstanding when one was taken.
    public var segments: UnsafeMutableRawBufferPointer {
        part(Self.segmentsOffset, LatencyHistogram.storedByteCount)
    }
    public var depth: UnsafeMutableRawBufferPointer {
        part(Self.depthOffset, LatencyHistogram.storedByteCount)
    }

    private func part(_ offset: Int, _ count: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: mapping.base + offset, count: count)
    }
}
