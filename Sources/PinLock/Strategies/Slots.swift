import CLinux
import DmaLinux
import GuestMemory
import Synchronization

/// Say what you are about to write, then look whether you may: a pin is one atomic exchange.
///
/// The idea: a device writes its list of ranges to memory of its own, puts a header into a slot of its own cache line, and
/// then only reads: the counted tree's bits say whether the ranges are open. An unpin is one store. A conversion closes the
/// tree and then reads the slots of all devices. With all of its slots taken, a device counts in the tree, as `rangetree`
/// does.
///
/// Why no page is both pinned and private: the pin writes its slot and reads a bit, the conversion writes the bit and
/// reads the slots, and a full barrier lies between write and read on both sides. So at least one of them sees the
/// other; release and acquire would not do, since a store may wait in its processor's buffer while the load after it
/// is carried out. The exchange is the pin's barrier. What a conversion reads of a list while the device writes the next one
/// there is told from what is true by a second look at the header: `PublishedPins` has the argument.
///
/// Cost: the device pays one locked operation on a line of its own whatever the number of ranges, a store and a look for
/// each of them, and devices on the same pages do not slow each other. A conversion reads 4 KiB of headers and the lists of
/// those that are taken, and one that becomes pending issues a membarrier(2). Metadata as `rangetree`; lists are what each
/// pin takes besides.
///
/// Its precedents: hazard pointers (Michael, IEEE TPDS 15(6), 2004); BRAVO (Dice and Kogan, USENIX ATC 2019); the reader
/// table of LMDB (libraries/liblmdb/mdb.c).
public struct Slots: PinStrategy {
    public static let info = StrategyInfo(
        name: "slots",
        summary:
            "publish the list of ranges, then read the tree's open bits; conversions read all slots",
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
        Forest.byteCount(pages: pages) + PublishedPins.headerByteCount
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
        private let pages: PageCount
        private let slots: UnsafeMutablePointer<Atomic<UInt64>>
        private let slotCount: Int
        private let numbers: UnsafeMutablePointer<Atomic<UInt64>>
        private let lists: UnsafeMutablePointer<Atomic<UInt64>>

        /// Uses the device's first `slotCount` slots.
        init(_ cover: ForestCover, arena: Arena, device: DeviceID, slots slotCount: Int) {
            precondition(
                arena.published.pinCount(of: device) == 0,
                "\(device) has pins that were never recovered")
            self.device = device
            tree = CountedPins(cover, arena: arena, device: device)
            forest = cover.forest
            pages = arena.pages
            slots = arena.published.slots(of: device)
            self.slotCount = slotCount
            numbers = arena.published.numbers(of: device)
            lists = arena.published.lists(of: device)
        }

        public func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
            guard let slot = freeSlot() else { return try count(ranges) }
            return ranges.count == 1
                ? try publish(ranges[0], in: slot) : try publish(ranges, in: slot)
        }

        @inline(__always)
        private func publish(_ range: PageRange, in slot: Int) throws(PinRefusal) -> Pin {
            guard range.upper <= pages.rawValue else { throw PinRefusal.outside(range, pages) }
            PublishedPins.write(range, to: list(slot))
            // Where one word speaks for the range, looking it up need not wait for the barrier.
            let word = forest.soleWord(of: range)
            let header = publish(1, in: slot)
            let isOpen = word.map { Forest.isOpen($0) } ?? forest.isEveryWordOpen(range)
            guard isOpen else { throw refuse(range, slot) }
            return pin(range, slot, header)
        }

        @inline(never)
        private func publish(_ ranges: Span<PageRange>, in slot: Int) throws(PinRefusal) -> Pin {
            let hull = try PublishedPins.write(ranges, to: list(slot), within: pages)
            let header = publish(ranges.count, in: slot)
            for index in ranges.indices where !forest.isOpen(ranges[index]) {
                throw refuse(ranges[index], slot)
            }
            return pin(hull, slot, header)
        }

        @inline(__always)
        private func list(_ slot: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
            lists + slot &* PublishedPins.stride
        }

        /// Makes what is in the slot's list visible; returns the header.
        @inline(__always)
        private func publish(_ count: Int, in slot: Int) -> UInt64 {
            let number = numbers[slot].load(ordering: .relaxed) &+ 1
            let header = PublishedPins.header(number, count)
            numbers[slot].store(number, ordering: .relaxed)
            PublishedPins.publish(header, in: slots[slot])
            return header
        }

        @inline(__always)
        private func pin(_ hull: PageRange, _ slot: Int, _ header: UInt64) -> Pin {
            Pin(range: hull, device: device, entry: Journal.capacity &+ slot, ticket: header)
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
        private func count(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
            try tree.pin(ranges)
        }

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
            let slot = pin.entry &- Journal.capacity
            guard slot >= 0 else { return uncount(pin) }
            precondition(
                pin.device == device && slots[slot].load(ordering: .relaxed) == pin.ticket,
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
