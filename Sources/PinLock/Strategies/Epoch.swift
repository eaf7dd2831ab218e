import CLinux
import DmaLinux
import GuestMemory
import Synchronization

/// Readers without a fence: the converter pays for everybody's ordering, with an interrupt to every processor.
///
/// The idea: a device enters an epoch with plain stores to its own journal, looks whether the range is open in the
/// tree, read-only, and leaves with another plain store. What orders the two is `membarrier` (2), which the
/// converter issues once it has closed the pages: only then does it look who is inside.
///
/// Why no page is both pinned and private: in program order a device writes its range down and then looks. At the
/// moment of the barrier it has either done the first, and the conversion sees the range; or it has not, and its
/// look comes after the closing. An unpin that goes and a conversion that becomes pending meet in the same way, with a
/// barrier of their own. Later looks need none: no pin succeeds any more, and one that has gone is seen in time.
///
/// An epoch in its plain form is one word, "inside": the converter waits for every device, whatever it writes. One
/// more plain store says which range, and buys that a conversion is held up by the pins of its own pages alone.
/// Without it no conversion would ever pass, since a device holds its queues pinned for as long as it runs. A request
/// has several ranges, so a device has several words: the entries of its journal, which other strategies keep for
/// recovery only. The journal is the pin, so a dead device's pins are gone when its entries are cleared.
///
/// Cost: the device some plain stores, and a load per word of the range's cover (the table instead of the tree would
/// be a load per page); the converter the barrier, under a microsecond to a hundred, as busy as the processors
/// are, and a look at as many entries as each device has ever used at once. The tree is that of `rangetree`, whose
/// counts stay zero.
///
/// Its precedent: OpenHCL's bitmap of shared pages, read under RCU whose readers have no barrier either
/// (openhcl/underhill_mem/src/lib.rs, change_host_visibility()).
public struct Epoch: PinStrategy {
    public static let info = StrategyInfo(
        name: "epoch",
        summary: "the device publishes its range and checks the tree without a fence",
        isSafe: true,
        cost: "the converter: a barrier on every processor, then a look at each device's journal",
        policies: [.deny, .wait],
        kernelNeeds: "membarrier(2), GLOBAL_EXPEDITED (Linux 4.16)",
        precedent:
            "OpenHCL's page bitmap under RCU (openhcl/underhill_mem/src/lib.rs, change_host_visibility())",
        family: .tree, place: 2)

    public static func unavailability(pinning pages: PageCount) -> String? {
        ProcessBarrier.unavailability
    }

    public static func sectionByteCount(pages: PageCount) -> Int {
        Forest.byteCount(pages: pages) + joinedByteCount
    }
    public static func metadataByteCount(pages: PageCount) -> Int { sectionByteCount(pages: pages) }

    /// One word, alone on a cache line.
    private static let joinedByteCount = 64

    public let arena: Arena
    private let cover: ForestCover

    public init(arena: Arena) {
        self.arena = arena
        cover = ForestCover(arena: arena)
    }

    /// Behind the tree: bit *n* says that device *n* has ever joined. Only those have something to look at.
    private var joined: UnsafeMutablePointer<Atomic<UInt64>> {
        (arena.section + Forest.byteCount(pages: arena.pages))
            .assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    /// Where a refusal can be told.
    public func pinner(
        for device: DeviceID, in process: DeviceSurroundings
    ) throws(SystemError) -> Device {
        try ProcessBarrier.register()
        return joining(device)
    }

    public func pinner(for device: DeviceID) -> Device {
        do throws(SystemError) {
            try ProcessBarrier.register()
        } catch {
            preconditionFailure("`epoch` is unavailable here: \(error)")
        }
        return joining(device)
    }

    /// The process is registered for the barrier, also after a restart, when it is another one.
    private func joining(_ device: DeviceID) -> Device {
        let device = Device(cover, device: device)
        // A locked operation: it is visible before any pin is.
        joined.pointee.bitwiseOr(1 << UInt64(device.number), ordering: .sequentiallyConsistent)
        return device
    }

    /// With the barrier: a device has written its range down before that, and a search finds it, or looks afterwards.
    public func close(_ range: PageRange) throws(SystemError) {
        cover.forest.close(range)
        try ProcessBarrier.issue()
    }
    public func open(_ range: PageRange) { cover.forest.open(range) }

    public func search(_ range: PageRange, within nanoseconds: UInt64) -> PinSearch {
        PinSearch(firstPublished(in: range))
    }

    /// After the barrier, every unpin has either been seen or will see the onlooker.
    public func meetUnpins() throws(SystemError) { try ProcessBarrier.issue() }

    /// The lowest page of the range that a journal speaks for.
    ///
    /// An entry may change meanwhile, its list too, but a pin from before the closing stays in them until it is given back,
    /// and none can succeed since. What is read while it changes is at worst taken for a pin: a conversion is denied that
    /// need not have been.
    func firstPublished(in range: PageRange) -> GFN? {
        var lowest: GFN?
        var devices = joined.pointee.load(ordering: .acquiring)
        while devices != 0 {
            let journal = arena.journal(of: DeviceID(devices.trailingZeroBitCount))
            devices &= devices - 1
            for index in 0..<Int(journal.highWater.pointee.load(ordering: .acquiring)) {
                let entry = journal.entry(index)
                guard entry.state.pointee.load(ordering: .acquiring) & 3 != 0 else { continue }
                _ = journal.forEachRange(entry.range.pointee.load(ordering: .acquiring)) { pinned in
                    if let met = pinned.intersection(range) {
                        lowest = min(lowest ?? met.start, met.start)
                    }
                    return true
                }
            }
        }
        return lowest
    }

    public func recover(_ device: DeviceID, until deadline: Deadline) -> Int {
        let journal = arena.journal(of: device)
        let entries = journal.liveEntries()
        for entry in entries { journal.clear(entry.index) }
        // As an unpin, but the converter's barrier need not reach this process.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        arena.coordination.announceUnpin()
        return entries.count
    }

    /// Beside the tree, the promise itself: every page that a journal calls held is shared.
    public func audit() throws(SystemError) -> String? {
        for number in 0..<Arena.deviceCapacity {
            let device = DeviceID(number)
            for range in arena.journal(of: device).heldPins {
                if let closed = cover.forest.firstClosed(in: range) {
                    return "\(device) holds \(range), and \(closed) is closed"
                }
            }
        }
        return try cover.forest.auditOpenLanes(arena)
    }

    public final class Device: Pinner {
        private let cover: ForestCover
        private let forest: Forest
        private let journal: JournalWriter
        private let coordination: Coordination
        let number: Int

        init(_ cover: ForestCover, device: DeviceID) {
            self.cover = cover
            forest = cover.forest
            number = device.rawValue
            coordination = cover.arena.coordination
            journal = JournalWriter(device, in: cover.arena)
        }

        public func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
            ranges.count == 1 ? try enter(ranges[0]) : try enter(ranges)
        }

        @inline(__always)
        private func enter(_ range: PageRange) throws(PinRefusal) -> Pin {
            let pin = try journal.begin(range)
            clinux_compiler_barrier()
            let isOpen =
                forest.soleWord(of: range).map { Forest.isOpen($0) }
                ?? forest.isEveryWordOpen(range)
            guard isOpen else { throw refuse(range, pin.entry, pin.ticket) }
            journal.hold(pin)
            return pin
        }

        @inline(never)
        private func enter(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
            let pin = try journal.begin(ranges)
            clinux_compiler_barrier()
            for index in ranges.indices where !forest.isOpen(ranges[index]) {
                leave(pin)
                throw cover.refusal(of: ranges[index])
            }
            journal.hold(pin)
            return pin
        }

        /// It has the pin in parts: whole, a pin that is granted would have to be in memory.
        @inline(never)
        private func refuse(_ range: PageRange, _ entry: Int, _ ticket: UInt64) -> PinRefusal {
            leave(Pin(range: range, device: journal.device, entry: entry, ticket: ticket))
            return cover.refusal(of: range)
        }

        public func unpin(_ pin: Pin) {
            journal.beginRelease(pin)
            leave(pin)
        }

        /// The converter's barrier comes between our two steps, or after both: it sees that we have left, or we see
        /// that it waits.
        @inline(__always)
        private func leave(_ pin: Pin) {
            journal.end(pin)
            clinux_compiler_barrier()
            coordination.announceUnpin()
        }
    }
}
