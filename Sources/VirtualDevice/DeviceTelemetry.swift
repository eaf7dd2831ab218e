import Linux
import Synchronization
import Telemetry

/// The telemetry memfd of one device: a word that ends the turn, and the ring of its samples.
public struct DeviceTelemetry: Sendable {
    public static let ringCapacity = 16_384
    private static let ringOffset = 4096
    public static let byteCount = ringOffset + SampleRing.byteCount(capacity: ringCapacity)

    public let ring: SampleRing
    private let mapping: SharedMapping

    public init(_ mapping: SharedMapping) {
        self.mapping = mapping
        ring = SampleRing(in: mapping, offset: Self.ringOffset, capacity: Self.ringCapacity)
    }

    private var stopWord: UnsafeMutablePointer<Atomic<UInt32>> {
        mapping.base.assumingMemoryBound(to: Atomic<UInt32>.self)
    }

    /// Whether the device should finish what it has begun and end the turn. Written by the hypervisor.
    public var shouldStop: Bool {
        @inline(__always) get { stopWord.pointee.load(ordering: .acquiring) != 0 }
        nonmutating set { stopWord.pointee.store(newValue ? 1 : 0, ordering: .releasing) }
    }
}
