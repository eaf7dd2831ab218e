import DmaLinux
import GuestMemory

/// A list of locked ranges under one mutex: the least that works.
///
/// The idea: a pin takes the mutex, sees that its pages are shared, and puts its range on the list. The list is the
/// journals of all devices, as they stand: an unpin takes the entry away, a conversion reads them from end to end.
///
/// Why no page is both pinned and private: a pin's look at the pages and its listing are one step under the mutex, and
/// a conversion looks through the list under the same mutex once it has closed the pages (see `LockedPins`). A device
/// that dies with the mutex in hand leaves nothing to repair: every prefix of an update is a list.
///
/// Cost: the devices take turns at one mutex, twice a DMA, whatever pages they pin; a conversion pays for each pin
/// there is, and for as many places as there ever were pins at once. A device that is stopped in the wrong moment
/// stops everybody.
///
/// Its precedent: OpenHCL's lock_gpns(), a vector of locked ranges under a mutex, which each change of visibility reads
/// through (openvmm, openhcl/underhill_mem/src/lib.rs).
public struct MutexList: UnderOneMutex {
    public static let info = StrategyInfo(
        name: "mutexlist",
        summary: "a list of locked ranges under one robust mutex",
        isSafe: true,
        cost: "all devices: turns at one mutex; the converter: a walk over every pin there is",
        policies: [.deny, .wait],
        kernelNeeds: nil,
        precedent: "OpenHCL's lock_gpns() (openvmm, openhcl/underhill_mem/src/lib.rs)",
        family: .lists, place: 1)

    let pins: LockedPins<PinList>

    public init(arena: Arena) { pins = LockedPins(arena: arena) }

    public func pinner(for device: DeviceID) -> Device { Device(pins, device) }

    // Not one generic class for both: of such a class the methods would look their types up in every call.
    public final class Device: Pinner {
        private let pins: LockedPins<PinList>
        private let journal: JournalWriter

        init(_ pins: LockedPins<PinList>, _ device: DeviceID) {
            self.pins = pins
            journal = pins.journal(of: device)
        }

        public func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
            try pins.pin(ranges, journal)
        }
        public func unpin(_ pin: Pin) { pins.unpin(pin, journal) }
    }
}

/// The journals, read from end to end: there is nothing beside them to keep.
struct PinList: PinIndex {
    static let byteCount = 0

    private let arena: Arena

    init(at base: UnsafeMutableRawPointer, arena: Arena) { self.arena = arena }

    func insert(_ entry: Int, of device: DeviceID) {}
    func remove(_ entry: Int, of device: DeviceID) {}
    func rebuild() {}
    func audit() -> String? { nil }

    func firstPinned(in range: PageRange) -> GFN? {
        var lowest: UInt64?
        arena.forEachListedPin { _, _, pinned in
            guard pinned.overlaps(range) else { return }
            let page = max(pinned.lower, range.lower)
            lowest = min(lowest ?? page, page)
        }
        return lowest.map { GFN($0) }
    }
}
