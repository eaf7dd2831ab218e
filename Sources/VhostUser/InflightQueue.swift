import DmaLinux
import Synchronization

/// Which requests of one split queue a back-end has fetched and not finished, in memory that outlives it
/// (`QueueRegionSplit` and `DescStateSplit` of vhost-user.rst, "Inflight I/O tracking").
///
/// A request is in the log from `begin`, before anything is done for it, until `didPublish`, after the used ring's
/// index has passed it. A back-end that dies in between leaves the request there, or, where the index had moved and the
/// entry was still there, leaves the index of the log behind that of the ring: the requests of the last batch are then
/// done. So none is lost, and none is done after the driver had it back.
///
/// What counts is the order of one thread's stores, as a later process sees them: each is released, so that the
/// compiler keeps their order, and whatever kills a process lets it finish those it has begun. The front-end can write
/// here at any time: what is read is checked, and a number taken from here never leaves the queue's bounds.
public struct InflightQueue: ~Copyable {
    private static let headerByteCount = 16
    private static let entryByteCount = 16
    static let version: UInt16 = 1

    private let mapping: SharedMapping
    private let base: UnsafeMutableRawPointer
    /// Entries, one for each head of a chain.
    public let size: Int
    private var nextCounter: UInt64 = 0
    private var batch: [UInt16] = []

    static func byteCount(_ size: Int) -> Int { headerByteCount + size * entryByteCount }

    init(_ mapping: SharedMapping, at offset: Int, size: Int) {
        self.mapping = mapping
        base = mapping.base + offset
        self.size = size
    }

    private func word<Word: AtomicRepresentable>(
        at offset: Int, _: Word.Type = Word.self
    ) -> UnsafeMutablePointer<Atomic<Word>> {
        (base + offset).assumingMemoryBound(to: Atomic<Word>.self)
    }

    private var versionWord: UnsafeMutablePointer<Atomic<UInt16>> { word(at: 8) }
    private var entryCount: UnsafeMutablePointer<Atomic<UInt16>> { word(at: 10) }
    private var lastBatchHead: UnsafeMutablePointer<Atomic<UInt16>> { word(at: 12) }
    private var usedIndex: UnsafeMutablePointer<Atomic<UInt16>> { word(at: 14) }

    private func entry(_ head: UInt16) -> Int {
        precondition(head < size, "head \(head) of a log of \(size) entries")
        return Self.headerByteCount + Int(head) * Self.entryByteCount
    }
    private func isInflight(_ head: UInt16) -> UnsafeMutablePointer<Atomic<UInt8>> {
        word(at: entry(head))
    }
    private func next(_ head: UInt16) -> UnsafeMutablePointer<Atomic<UInt16>> {
        word(at: entry(head) + 6)
    }
    private func counter(_ head: UInt16) -> UnsafeMutablePointer<Atomic<UInt64>> {
        word(at: entry(head) + 8)
    }

    // MARK: While requests come and go

    /// Notes that a request was fetched. Nothing may be done for it before this returns.
    public mutating func begin(_ head: UInt16) {
        counter(head).pointee.store(nextCounter, ordering: .relaxed)
        nextCounter &+= 1
        isInflight(head).pointee.store(1, ordering: .releasing)
    }

    /// Notes that a request belongs to the batch with which the used ring's index moves next. It is done, and its entry
    /// of the used ring may be written.
    public mutating func willPublish(_ head: UInt16) {
        let last = lastBatchHead.pointee.load(ordering: .relaxed)
        next(head).pointee.store(last, ordering: .relaxed)
        lastBatchHead.pointee.store(head, ordering: .releasing)
        batch.append(head)
    }

    /// Notes that the used ring's index has moved to `index`, past the whole batch with one store, and no further.
    public mutating func didPublish(usedIndex index: UInt16) {
        for head in batch { isInflight(head).pointee.store(0, ordering: .releasing) }
        batch.removeAll(keepingCapacity: true)
        usedIndex.pointee.store(index, ordering: .releasing)
    }

    // MARK: After another back-end

    /// What a predecessor has left; nil where there was none. Brings the log up to date, so that it can go on.
    ///
    /// The heads are in the order in which they were fetched. `index` is the used ring's. Throws where the log does not
    /// fit the queue; then it cannot be known what was done.
    public mutating func recover(usedIndex index: UInt16) throws(InflightFault) -> [UInt16]? {
        let version = versionWord.pointee.load(ordering: .acquiring)
        guard version != 0 else {
            entryCount.pointee.store(UInt16(size), ordering: .relaxed)
            usedIndex.pointee.store(index, ordering: .relaxed)
            versionWord.pointee.store(Self.version, ordering: .releasing)
            return nil
        }
        guard version == Self.version else { throw .version(version) }
        let count = entryCount.pointee.load(ordering: .relaxed)
        guard Int(count) == size else { throw .entries(count, expected: size) }
        let hasEntries = (0..<size).contains {
            isInflight(UInt16($0)).pointee.load(ordering: .relaxed) == 1
        }
        if hasEntries { try finishLastBatch(index) }
        usedIndex.pointee.store(index, ordering: .releasing)

        var left: [(counter: UInt64, head: UInt16)] = []
        for head in 0..<UInt16(size)
        where isInflight(head).pointee.load(ordering: .relaxed) == 1 {
            left.append((counter(head).pointee.load(ordering: .relaxed), head))
        }
        left.sort { $0 < $1 }
        nextCounter = left.last.map { $0.counter &+ 1 } ?? 0
        return left.map(\.head)
    }

    /// The predecessor died after the used ring's index had moved and before the log said so: those requests are done.
    private func finishLastBatch(_ index: UInt16) throws(InflightFault) {
        let count = index &- usedIndex.pointee.load(ordering: .relaxed)
        guard count <= size else { throw .lastBatch(count, of: size) }
        var head = lastBatchHead.pointee.load(ordering: .relaxed)
        for _ in 0..<count {
            guard head < size else { throw .lastBatch(count, of: size) }
            isInflight(head).pointee.store(0, ordering: .relaxed)
            head = next(head).pointee.load(ordering: .relaxed)
        }
    }
}
