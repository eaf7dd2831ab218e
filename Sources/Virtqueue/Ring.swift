import Synchronization

/// The available or the used ring: flags, index, entries; each is written by one side only.
///
/// VIRTIO 1.2, 2.7.6 and 2.7.8. Indices count from 0 and wrap at 65536; entry `i` is at `i` modulo
/// the queue size. Behind the entries lies an index of the other ring: what its writer is to be told of, where
/// VIRTIO_F_EVENT_IDX was negotiated (`used_event` of the available ring, `avail_event` of the used ring).
struct Ring {
    let base: UnsafeMutableRawPointer
    let queueSize: Int
    let usesEventIndex: Bool
    private let eventOffset: Int

    static func availableByteCount(queueSize: Int) -> Int { 6 + 2 * queueSize }
    static func usedByteCount(queueSize: Int) -> Int { 6 + 8 * queueSize }

    static func available(of rings: VirtqueueRings, at base: UnsafeMutableRawPointer) -> Ring {
        Ring(
            base: base, queueSize: rings.queueSize, usesEventIndex: rings.usesEventIndex,
            eventOffset: availableByteCount(queueSize: rings.queueSize) - 2)
    }

    static func used(of rings: VirtqueueRings, at base: UnsafeMutableRawPointer) -> Ring {
        Ring(
            base: base, queueSize: rings.queueSize, usesEventIndex: rings.usesEventIndex,
            eventOffset: usedByteCount(queueSize: rings.queueSize) - 2)
    }

    /// VIRTQ_AVAIL_F_NO_INTERRUPT (2.7.6) and VIRTQ_USED_F_NO_NOTIFY (2.7.8) are the same bit.
    private static let noNotification: UInt16 = 1

    private var flags: UnsafeMutablePointer<Atomic<UInt16>> { base.word(UInt16.self, at: 0) }
    private var index: UnsafeMutablePointer<Atomic<UInt16>> { base.word(UInt16.self, at: 2) }
    private var event: UnsafeMutablePointer<Atomic<UInt16>> {
        base.word(UInt16.self, at: eventOffset)
    }

    private func position(_ index: UInt16) -> Int { Int(index) & (queueSize - 1) }

    /// Empties the ring and allows notifications (2.7.10.1), before the other side may look.
    func reset() {
        flags.pointee.store(0, ordering: .relaxed)
        index.pointee.store(0, ordering: .relaxed)
    }

    /// Exposes every entry below `value`: a release, after which the other side may read them
    /// (2.7.13.3.1).
    func publish(_ value: UInt16) { index.pointee.store(value, ordering: .releasing) }

    /// The index the other side has published: an acquire, before its entries are read.
    func published() -> UInt16 { index.pointee.load(ordering: .acquiring) }

    // MARK: Entries

    func availableHead(at index: UInt16) -> UInt16 {
        base.word(UInt16.self, at: 4 + 2 * position(index)).pointee.load(ordering: .relaxed)
    }

    func setAvailableHead(_ head: UInt16, at index: UInt16) {
        base.word(UInt16.self, at: 4 + 2 * position(index)).pointee.store(head, ordering: .relaxed)
    }

    /// `struct virtq_used_elem`: the chain's head, and the bytes written to it.
    func usedElement(at index: UInt16) -> (head: UInt32, length: UInt32) {
        let offset = 4 + 8 * position(index)
        return (
            base.word(UInt32.self, at: offset).pointee.load(ordering: .relaxed),
            base.word(UInt32.self, at: offset + 4).pointee.load(ordering: .relaxed)
        )
    }

    func setUsedElement(head: UInt32, length: UInt32, at index: UInt16) {
        let offset = 4 + 8 * position(index)
        base.word(UInt32.self, at: offset).pointee.store(head, ordering: .relaxed)
        base.word(UInt32.self, at: offset + 4).pointee.store(length, ordering: .relaxed)
    }

    // MARK: Notification suppression (2.7.7, 2.7.10)
    //
    // One side publishes an index, then reads what the other wants: its flags, or the index that it waits for. The other
    // writes that, then reads the published index. With release and acquire alone both reads may miss both stores (each
    // store still in its processor's buffer): no notification is sent, and the other side sleeps on a queue that is not
    // empty. So the two stores and the two loads are sequentially consistent: at least one side sees the other. The
    // stores are exchanges because on x86-64 one is a full barrier at a tenth of the cost of mfence.

    /// With event indices the flag stays clear (2.7.7.1), and the index that was waited for last is behind.
    func suppressNotifications() {
        if !usesEventIndex { flags.pointee.store(Self.noNotification, ordering: .relaxed) }
    }

    /// Asks for notifications again, from `position` of `other` on, and returns `other`'s index as it is after that.
    func enableNotifications(by other: Ring, from position: UInt16) -> UInt16 {
        if usesEventIndex {
            _ = event.pointee.exchange(position, ordering: .sequentiallyConsistent)
        } else {
            _ = flags.pointee.exchange(0, ordering: .sequentiallyConsistent)
        }
        return other.index.pointee.load(ordering: .sequentiallyConsistent)
    }

    /// Whether the writer of `other` wants to know of `published`, the index published here last; `last` is what this was
    /// asked of the time before, nil where that is not known.
    ///
    /// It is stored a second time, so that publishing costs no barrier where nobody is notified.
    func wantsNotification(of published: UInt16, since last: UInt16?, by other: Ring) -> Bool {
        _ = index.pointee.exchange(published, ordering: .sequentiallyConsistent)
        guard usesEventIndex else {
            let flags = other.flags.pointee.load(ordering: .sequentiallyConsistent)
            return flags & Self.noNotification == 0
        }
        let event = other.event.pointee.load(ordering: .sequentiallyConsistent)
        guard let last else { return true }
        // Whether the entry that is waited for is among those published since: vring_need_event, in the kernel's
        // include/uapi/linux/virtio_ring.h.
        return published &- event &- 1 < published &- last
    }
}
