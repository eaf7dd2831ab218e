import GuestMemory
import Synchronization

/// `struct virtq_desc`: VIRTIO 1.2, 2.7.5.
struct Descriptor: Equatable {
    static let byteCount = 16

    struct Flags: OptionSet {
        let rawValue: UInt16

        /// VIRTQ_DESC_F_NEXT: the chain goes on at `next`.
        static let next = Flags(rawValue: 1)
        /// VIRTQ_DESC_F_WRITE: device-writable; without it, device-readable.
        static let write = Flags(rawValue: 2)
        /// VIRTQ_DESC_F_INDIRECT: the buffer is a table of descriptors.
        static let indirect = Flags(rawValue: 4)
    }

    var address: UInt64
    var length: UInt32
    var flags: Flags
    var next: UInt16
}

/// A descriptor table in guest memory: the queue's own, or an indirect one.
struct DescriptorTable {
    let base: UnsafeMutableRawPointer
    let count: Int

    /// Copies a descriptor out, each of its two words read once.
    ///
    /// The writer may change it between the two: what comes out is then a mixture, and is judged as
    /// such.
    func read(_ index: Int) -> Descriptor {
        assert(index >= 0 && index < count, "descriptor \(index) of \(count)")
        let offset = index * Descriptor.byteCount
        let rest = base.word(UInt64.self, at: offset + 8).pointee.load(ordering: .relaxed)
        return Descriptor(
            address: base.word(UInt64.self, at: offset).pointee.load(ordering: .relaxed),
            length: UInt32(truncatingIfNeeded: rest),
            flags: Descriptor.Flags(rawValue: UInt16(truncatingIfNeeded: rest >> 32)),
            next: UInt16(truncatingIfNeeded: rest >> 48))
    }

    func write(_ descriptor: Descriptor, at index: Int) {
        assert(index >= 0 && index < count, "descriptor \(index) of \(count)")
        let offset = index * Descriptor.byteCount
        let rest =
            UInt64(descriptor.length) | UInt64(descriptor.flags.rawValue) << 32
            | UInt64(descriptor.next) << 48
        base.word(UInt64.self, at: offset).pointee.store(descriptor.address, ordering: .relaxed)
        base.word(UInt64.self, at: offset + 8).pointee.store(rest, ordering: .relaxed)
    }
}
