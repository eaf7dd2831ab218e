import DmaLinux
import Synchronization

/// A ring of samples in shared memory, from one producer to one consumer, which may be two processes.
///
/// Layout: a 256-byte header, then `capacity` samples. Both counters only grow; a counter modulo the capacity is a
/// place in the ring. The producer's and the consumer's are 128 bytes apart, since processors fetch lines in pairs
/// (Intel Optimization Reference Manual, spatial prefetcher). Zeros are an empty ring.
///
/// Ordering: the producer's release of `written` publishes the sample, the consumer's release of `read` gives the
/// place back; each side acquires the other's counter. A producer that dies leaves whole samples only.
public struct SampleRing: Sendable {
    /// Samples it holds: a power of two.
    public let capacity: Int
    private let mapping: SharedMapping
    private let offset: Int

    private static let headerBytes = 256

    /// Bytes a ring of `capacity` samples takes.
    public static func byteCount(capacity: Int) -> Int {
        headerBytes + capacity * MemoryLayout<DMASample>.stride
    }

    /// The ring at `offset` of `mapping`, a multiple of 128; both sides state the same capacity.
    public init(in mapping: SharedMapping, offset: Int = 0, capacity: Int) {
        precondition(
            capacity > 0 && capacity & (capacity - 1) == 0, "\(capacity) is no power of two")
        precondition(offset >= 0 && offset % 128 == 0, "offset \(offset) splits a line pair")
        precondition(
            offset <= mapping.byteCount
                && Self.byteCount(capacity: capacity) <= mapping.byteCount - offset,
            "\(capacity) samples at \(offset) do not fit in \(mapping.byteCount) bytes")
        self.mapping = mapping
        self.offset = offset
        self.capacity = capacity
    }

    /// The one writing end.
    public func producer() -> Producer { Producer(self) }

    /// The one reading end.
    public func consumer() -> Consumer { Consumer(self) }

    /// How many samples found the ring full and had to wait.
    public var stalls: UInt64 { stallCounter.pointee.load(ordering: .relaxed) }

    private typealias Counter = UnsafeMutablePointer<Atomic<UInt64>>

    private func counter(at place: Int) -> Counter {
        (mapping.base + offset + place).assumingMemoryBound(to: Atomic<UInt64>.self)
    }
    private var written: Counter { counter(at: 0) }
    private var stallCounter: Counter { counter(at: 8) }
    private var read: Counter { counter(at: 128) }

    private func sample(at index: UInt64) -> UnsafeMutablePointer<DMASample> {
        (mapping.base + offset + Self.headerBytes).assumingMemoryBound(to: DMASample.self)
            + Int(index & UInt64(capacity - 1))
    }

    /// Writes samples; keeps what it last saw of the reader, so that it rarely fetches the reader's line.
    public struct Producer: ~Copyable, Sendable {
        private let ring: SampleRing
        private var written: UInt64
        private var knownRead: UInt64

        fileprivate init(_ ring: SampleRing) {
            self.ring = ring
            written = ring.written.pointee.load(ordering: .relaxed)
            knownRead = ring.read.pointee.load(ordering: .acquiring)
        }

        /// Adds a sample; waits while the ring is full, and drops it only where nobody is going to make room:
        /// `isInVain`. Allocates nothing.
        public mutating func append(
            _ sample: DMASample, unless isInVain: () -> Bool = { false }
        ) {
            if written &- knownRead >= UInt64(ring.capacity) {
                waitForSpace(unless: isInVain)
                guard written &- knownRead < UInt64(ring.capacity) else { return }
            }
            ring.sample(at: written).pointee = sample
            written &+= 1
            ring.written.pointee.store(written, ordering: .releasing)
        }

        private mutating func waitForSpace(unless isInVain: () -> Bool) {
            knownRead = ring.read.pointee.load(ordering: .acquiring)
            guard written &- knownRead >= UInt64(ring.capacity) else { return }
            ring.stallCounter.pointee.wrappingAdd(1, ordering: .relaxed)
            var backoff = Backoff()
            while written &- knownRead >= UInt64(ring.capacity), !isInVain() {
                backoff.pause()
                knownRead = ring.read.pointee.load(ordering: .acquiring)
            }
        }
    }

    /// Reads samples.
    public struct Consumer: ~Copyable, Sendable {
        private let ring: SampleRing
        private var read: UInt64

        fileprivate init(_ ring: SampleRing) {
            self.ring = ring
            read = ring.read.pointee.load(ordering: .relaxed)
        }

        /// Hands every sample there is to `body`, in order, and returns how many; allocates nothing.
        @discardableResult
        public mutating func drain(_ body: (DMASample) -> Void) -> Int {
            let written = ring.written.pointee.load(ordering: .acquiring)
            let count = written &- read
            precondition(
                count <= UInt64(ring.capacity),
                "\(written) written and \(read) read do not fit a ring of \(ring.capacity)")
            while read != written {
                body(ring.sample(at: read).pointee)
                read &+= 1
            }
            ring.read.pointee.store(read, ordering: .releasing)
            return Int(count)
        }
    }
}
