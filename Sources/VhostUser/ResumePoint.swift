import Synchronization

/// Where a back-end begins with a queue that another may have served before: which requests it has to do again, and
/// which entry of the available ring it fetches next.
///
/// *With a log* of requests under way: those that the log has, in the order in which they were fetched; next comes the
/// entry behind all that were ever fetched, which is the used ring's index plus as many as the log has.
///
/// *Without*, or with one that nobody has written: nothing is done again, and next comes the entry at the used ring's
/// index. That is right if whoever was before finished its requests in order, or finished all; this back-end's device
/// has to, where there is no log. It is refused where it may be wrong: if the front-end says that another entry comes
/// next, or if the used ring shows that requests were finished in another order than they were made available.
public struct ResumePoint: Equatable, Sendable {
    public let next: UInt16
    /// Heads of chains, to be done first, in this order. They are in the log already.
    public let again: [UInt16]

    init(next: UInt16, again: [UInt16]) {
        self.next = next
        self.again = again
    }

    /// Looks at a started queue's rings, and brings the log's part for it up to date. `base` is what the front-end
    /// said (SET_VRING_BASE).
    public init(
        _ rings: QueueRings, base: UInt16, in memory: MemoryTable, log: inout InflightQueue?
    ) throws(ResumeFault) {
        let ring = try RingContents(rings, memory)
        let (available, used) = (ring.availableIndex, ring.usedIndex)
        let outstanding = available &- used
        guard outstanding <= rings.size else { throw .indices(available: available, used: used) }
        if let again = try Self.recover(&log, used) {
            guard again.count <= outstanding, again.allSatisfy({ $0 < rings.size }) else {
                throw .moreThanOutstanding(again.count, Int(outstanding))
            }
            self.again = again
            next = used &+ UInt16(again.count)
            return
        }
        guard base == used else { throw .base(base, used: used) }
        // Entries that both rings still have, of this life of the queue as far as its index has not wrapped.
        let known = min(used, UInt16(rings.size) - outstanding)
        for index in used - known..<used where ring.usedHead(index) != ring.availableHead(index) {
            throw .outOfOrder(index)
        }
        again = []
        next = used
    }

    private static func recover(
        _ log: inout InflightQueue?, _ used: UInt16
    ) throws(ResumeFault) -> [UInt16]? {
        do throws(InflightFault) { return try log?.recover(usedIndex: used) } catch {
            throw .log(error)
        }
    }
}

/// A queue's rings as the driver and the last back-end have left them (VIRTIO 1.2, 2.7.6 and 2.7.8). The driver may
/// write at any time: each word is read once.
private struct RingContents {
    private let available: UnsafeMutableRawPointer
    private let used: UnsafeMutableRawPointer
    private let mask: Int
    /// Keeps the pointers good.
    private let memory: MemoryTable

    init(_ rings: QueueRings, _ memory: MemoryTable) throws(ResumeFault) {
        guard
            let available = memory.pointer(
                toGuest: rings.availableRing, byteCount: rings.availableRingByteCount),
            let used = memory.pointer(toGuest: rings.usedRing, byteCount: rings.usedRingByteCount)
        else { throw .outsideMemory }
        self.available = available
        self.used = used
        mask = rings.size - 1
        self.memory = memory
    }

    private func load<Word: AtomicRepresentable>(
        _ place: UnsafeMutableRawPointer, _: Word.Type
    ) -> UnsafeMutablePointer<Atomic<Word>> {
        place.assumingMemoryBound(to: Atomic<Word>.self)
    }

    var availableIndex: UInt16 {
        load(available + 2, UInt16.self).pointee.load(ordering: .acquiring)
    }
    var usedIndex: UInt16 { load(used + 2, UInt16.self).pointee.load(ordering: .acquiring) }

    func availableHead(_ index: UInt16) -> UInt32 {
        let place = available + 4 + 2 * (Int(index) & mask)
        return UInt32(load(place, UInt16.self).pointee.load(ordering: .relaxed))
    }
    func usedHead(_ index: UInt16) -> UInt32 {
        let place = used + 4 + 8 * (Int(index) & mask)
        return load(place, UInt32.self).pointee.load(ordering: .relaxed)
    }
}

/// Why it cannot be known where to begin.
public enum ResumeFault: Error, Equatable, Sendable, CustomStringConvertible {
    case outsideMemory
    case indices(available: UInt16, used: UInt16)
    case base(UInt16, used: UInt16)
    case outOfOrder(UInt16)
    case moreThanOutstanding(Int, Int)
    case log(InflightFault)

    public var description: String {
        switch self {
        case .outsideMemory: "its rings lie in no region of guest memory"
        case .indices(let available, let used):
            "\(available &- used) requests are outstanding, from \(used) to \(available): more than the queue has"
        case .base(let base, let used):
            "it is to go on at entry \(base), and the used ring says \(used): without a log of requests under way "
                + "(INFLIGHT_SHMFD) what lies between would be lost or done twice"
        case .outOfOrder(let index):
            "entry \(index) was finished in another order than it was made available, and there is no log of requests "
                + "under way (INFLIGHT_SHMFD): which were not finished cannot be known; reset the guest's device"
        case .moreThanOutstanding(let count, let outstanding):
            "the log has \(count) requests under way, and the driver waits for \(outstanding)"
        case .log(let fault): fault.description
        }
    }
}
