import CLinux
import GuestMemory
import Linux
import Synchronization

/// Say what you are about to write, then look whether you may: a pin is one atomic exchange.
///
/// The idea: a device puts its range into a slot of its own cache line, and then only reads: the counted tree's bits
/// say whether the range is open. An unpin is one store. A conversion closes the tree and then reads the slots of all
/// devices. With all of its slots taken, a device counts in the tree, as `rangetree` does.
///
/// Why no page is both pinned and private: the pin writes its slot and reads a bit, the conversion writes the bit and
/// reads the slots, and a full barrier lies between write and read on both sides. So at least one of them sees the
/// other; release and acquire would not do, since a store may wait in its processor's buffer while the load after it
/// is carried out. The exchange is the pin's barrier. The whole range is one word, so a slot is never half written.
///
/// Cost: the device pays one locked operation on a line of its own, so devices on the same pages do not slow each
/// other. A conversion reads 4 KiB of slots, and one that becomes pending issues a membarrier(2). Metadata as
/// `rangetree`.
///
/// Its precedents: hazard pointers (Michael, IEEE TPDS 15(6), 2004); BRAVO (Dice and Kogan, USENIX ATC 2019); the reader
/// table of LMDB (libraries/liblmdb/mdb.c).
public struct Slots: PinStrategy {
    public static let info = StrategyInfo(
        name: "slots",
        summary:
            "publish the range by an atomic exchange, then read the tree's open bits; conversions read all slots",
        isSafe: true,
        cost: "the device: one exchange per DMA; the converter: 64 lines to read",
        policies: [.deny, .wait],
        kernelNeeds: "membarrier(2), for conversions that wait",
        precedent: "hazard pointers (Michael 2004), BRAVO (ATC 2019), LMDB's reader table (mdb.c)",
        family: .tree, place: 1)

    /// Without a barrier a pending conversion would have to search at each look.
    public static func unavailability(pinning pages: PageCount) -> String? {
        ProcessBarrier.unavailability
    }

    public static func sectionByteCount(pages: PageCount) -> Int { Forest.byteCount(pages: pages) }
    public static func metadataByteCount(pages: PageCount) -> Int {
        Forest.byteCount(pages: pages) + PublishedPins.byteCount
    }

    public var arena: Arena { tree.arena }
    private let tree: RangeTree

    public init(arena: Arena) { tree = RangeTree(arena: arena) }

    public func pinner(for device: DeviceID) -> Device {
        Device(tree.cover, arena: arena, device: device, slots: PublishedPins.capacity)
    }

    /// A device that no barrier reaches would unpin unseen.
    public func pinner(
        for device: DeviceID, in process: DeviceSurroundings
    ) throws(SystemError) -> Device {
        try ProcessBarrier.register()
        return pinner(for: device)
    }

    public func close(_ range: PageRange) { tree.close(range) }
    public func open(_ range: PageRange) { tree.open(range) }

    /// The full barrier between the closing before it and the look at the slots.
    public func search(_ range: PageRange, within nanoseconds: UInt64) -> PinSearch {
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        let published = arena.published.firstPinned(in: range)
        let counted = tree.cover.forest.firstPinned(in: range)
        return PinSearch([published, counted].compactMap { $0 }.min())
    }

    /// An unpin's store and its look for onlookers have no barrier between them: a conversion that becomes pending pays
    /// for it. After the barrier, every unpin has either been seen or will see the onlooker.
    public func meetUnpins() throws(SystemError) { try ProcessBarrier.issue() }

    /// Nobody else's pins are in doubt: a slot is its owner's alone.
    public func recover(_ device: DeviceID, until deadline: Deadline) throws(RecoveryRefusal) -> Int
    {
        // First what needs no standing still, and told also where the rest is refused.
        let published = arena.published.clear(device)
        arena.coordination.announceUnpin()
        return published + (try tree.recover(device, until: deadline))
    }

    public func audit() throws(SystemError) -> String? {
        for device in 0..<Arena.deviceCapacity {
            for range in arena.published.ranges(of: DeviceID(device)) {
                guard let closed = tree.cover.forest.firstClosed(in: range) else { continue }
                return "\(DeviceID(device)) has published \(range), but \(closed) is closed"
            }
        }
        return try tree.audit()
    }

    public final class Device: Pinner {
        private let device: DeviceID
        private let tree: CountedPins<ForestCover>
        private let forest: Forest
        private let slots: UnsafeMutablePointer<Atomic<UInt64>>
        private let slotCount: Int
        private let tickets: UnsafeMutablePointer<Atomic<UInt64>>

        /// Uses the device's first `slotCount` slots.
        init(_ cover: ForestCover, arena: Arena, device: DeviceID, slots slotCount: Int) {
            precondition(
                arena.published.ranges(of: device).isEmpty,
                "\(device) has pins that were never recovered")
            self.device = device
            tree = CountedPins(cover, arena: arena, device: device)
            forest = cover.forest
            slots = arena.published.slots(of: device)
            self.slotCount = slotCount
            tickets = arena.published.tickets(of: device)
        }

        public func pin(_ range: PageRange) throws(PinRefusal) -> Pin {
            guard range.upper <= tree.pages.rawValue, let slot = freeSlot() else {
                return try count(range)
            }
            let root = forest.root(spanning: range)
            let ticket = tickets[slot].load(ordering: .relaxed) &+ 1
            PublishedPins.publish(PublishedPins.pack(range), in: slots[slot])
            guard forest.isOpen(range, root) else { throw refuse(range, slot) }
            tickets[slot].store(ticket, ordering: .relaxed)
            return Pin(
                range: range, device: device, entry: Journal.capacity + slot, ticket: ticket)
        }

        @inline(__always)
        private func freeSlot() -> Int? {
            for slot in 0..<slotCount where slots[slot].load(ordering: .relaxed) == 0 {
                return slot
            }
            return nil
        }

        // What is out of the ordinary is kept out of the way: a pin is some ten nanoseconds long.

        @inline(never)
        private func count(_ range: PageRange) throws(PinRefusal) -> Pin { try tree.pin(range) }

        @inline(never)
        private func uncount(_ pin: Pin) { tree.unpin(pin) }

        @inline(never)
        private func tellOnlookers() { tree.coordination.announceUnpin() }

        @inline(never)
        private func refuse(_ range: PageRange, _ slot: Int) -> PinRefusal {
            release(slot)
            return tree.cover.refusal(of: range)
        }

        public func unpin(_ pin: Pin) {
            let slot = pin.entry - Journal.capacity
            guard slot >= 0 else { return uncount(pin) }
            precondition(
                pin.device == device
                    && tickets[slot].load(ordering: .relaxed) == pin.ticket
                    && slots[slot].load(ordering: .relaxed) != 0,
                "unpin of a pin that \(device) does not hold")
            release(slot)
        }

        @inline(__always)
        private func release(_ slot: Int) {
            slots[slot].store(0, ordering: .releasing)
            clinux_compiler_barrier()
            if tree.coordination.hasOnlookers { tellOnlookers() }
        }
    }
}
