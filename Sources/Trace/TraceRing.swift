import DmaLinux
import GuestMemory
import Synchronization

/// Requests on their way from a device to whoever writes them down: a ring of 64-bit words in shared memory, from one
/// producer to one consumer, which may be two processes.
///
/// The device never waits: a request that finds no room is counted and lost. Layout: a 256-byte header, then the words.
/// Both counters only grow, and count words; the producer's and the consumer's are 128 bytes apart, since processors fetch
/// lines in pairs. Zeros are an empty ring. A record is three words (when, in ticks; queue and direction; how many
/// segments), then two for each segment (address and length in bytes).
///
/// Ordering: the producer's release of `written` publishes a record, the consumer's release of `read` gives its room back;
/// each side acquires the other's counter. A producer that dies leaves whole records only, and its successor goes on.
public struct TraceRing: Sendable {
    /// Words that it holds: a power of two.
    public let capacity: Int
    private let mapping: SharedMapping

    private static let headerBytes = 256
    static let headWords = 3

    /// The ring that fills a mapping made with `byteCount(capacity:)`.
    public init(_ mapping: SharedMapping, capacity: Int = Self.usualCapacity) {
        precondition(
            capacity >= 8 && capacity & (capacity - 1) == 0, "\(capacity) is no power of two")
        precondition(
            Self.byteCount(capacity: capacity) <= mapping.byteCount,
            "\(capacity) words do not fit in \(mapping.byteCount) bytes")
        self.mapping = mapping
        self.capacity = capacity
    }

    /// 16 MiB: some 8,000 requests of 126 segments, or 400,000 of one. Untouched pages of it take no memory.
    public static let usualCapacity = 1 << 21

    public static func byteCount(capacity: Int = usualCapacity) -> Int {
        headerBytes + 8 * capacity
    }

    /// Requests that found no room.
    public var lost: UInt64 { lostCounter.pointee.load(ordering: .relaxed) }

    private typealias Counter = UnsafeMutablePointer<Atomic<UInt64>>

    private func counter(at place: Int) -> Counter {
        (mapping.base + place).assumingMemoryBound(to: Atomic<UInt64>.self)
    }
    private var written: Counter { counter(at: 0) }
    private var lostCounter: Counter { counter(at: 8) }
    private var read: Counter { counter(at: 128) }

    private func word(at index: UInt64) -> UnsafeMutablePointer<UInt64> {
        (mapping.base + Self.headerBytes).assumingMemoryBound(to: UInt64.self)
            + Int(index & UInt64(capacity - 1))
    }

    /// The one writing end.
    public func producer() -> Producer { Producer(self) }
    /// The one reading end.
    public func consumer() -> Consumer { Consumer(self) }

    /// Writes records; keeps what it last saw of the reader, so that it rarely fetches the reader's line.
    public struct Producer: ~Copyable {
        private let ring: TraceRing
        private var written: UInt64
        private var knownRead: UInt64

        fileprivate init(_ ring: TraceRing) {
            self.ring = ring
            written = ring.written.pointee.load(ordering: .relaxed)
            knownRead = ring.read.pointee.load(ordering: .acquiring)
        }

        /// Begins a record of so many segments, each of which is then to be added; false where there is no room, and the
        /// request is counted as lost.
        public mutating func begin(
            at ticks: UInt64, queue: UInt16, _ direction: TraceDirection, segments: Int
        ) -> Bool {
            let needed = UInt64(TraceRing.headWords + 2 * segments)
            if UInt64(ring.capacity) - (written &- knownRead) < needed {
                knownRead = ring.read.pointee.load(ordering: .acquiring)
                guard UInt64(ring.capacity) - (written &- knownRead) >= needed else {
                    ring.lostCounter.pointee.wrappingAdd(1, ordering: .relaxed)
                    return false
                }
            }
            put(ticks)
            put(UInt64(queue) << 8 | UInt64(direction.rawValue))
            put(UInt64(segments))
            return true
        }

        @inline(__always)
        public mutating func add(address: UInt64, byteCount: UInt64) {
            put(address)
            put(byteCount)
        }

        /// Publishes the record, once all of it is there.
        public mutating func end() { ring.written.pointee.store(written, ordering: .releasing) }

        @inline(__always)
        private mutating func put(_ value: UInt64) {
            ring.word(at: written).pointee = value
            written &+= 1
        }
    }

    /// Reads records.
    public struct Consumer: ~Copyable {
        private let ring: TraceRing
        private var read: UInt64

        fileprivate init(_ ring: TraceRing) {
            self.ring = ring
            read = ring.read.pointee.load(ordering: .relaxed)
        }

        /// Hands every record there is to `body`, in order, with its time in ticks; returns how many. A record that makes
        /// no sense, which no producer writes, is left out.
        @discardableResult
        public mutating func drain(
            _ body: (_ ticks: UInt64, _ queue: UInt16, TraceDirection, [TraceSegment]) -> Void
        ) -> Int {
            let written = ring.written.pointee.load(ordering: .acquiring)
            var count = 0
            while written &- read >= UInt64(TraceRing.headWords) {
                let (ticks, kind, segments) = (take(), take(), take())
                guard segments <= (written &- read) / 2 else {
                    read = written
                    break
                }
                var list: [TraceSegment] = []
                list.reserveCapacity(Int(segments))
                for _ in 0..<segments {
                    let (address, bytes) = (take(), take())
                    guard bytes > 0, address < TraceSegment.addressLimit,
                        bytes <= TraceSegment.addressLimit - address
                    else { continue }
                    list.append(TraceSegment(address: address, byteCount: bytes))
                }
                ring.read.pointee.store(read, ordering: .releasing)
                guard !list.isEmpty else { continue }
                let direction = TraceDirection(rawValue: UInt8(truncatingIfNeeded: kind)) ?? .read
                body(ticks, UInt16(truncatingIfNeeded: kind >> 8), direction, list)
                count += 1
            }
            ring.read.pointee.store(read, ordering: .releasing)
            return count
        }

        private mutating func take() -> UInt64 {
            defer { read &+= 1 }
            return ring.word(at: read).pointee
        }
    }
}
