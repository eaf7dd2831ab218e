import DmaLinux
import GuestMemory

/// A balanced tree of locked ranges under one mutex: the usual range lock.
///
/// The idea: as `mutexlist`, with the ranges in an interval tree, so that a conversion finds the lowest pin in its way
/// in logarithmic time.
///
/// Why no page is both pinned and private: a pin's look at the pages and its listing are one step under the mutex, and
/// a conversion looks in the tree under the same mutex once it has closed the pages (see `LockedPins`). A device that
/// dies with the mutex in hand may leave the tree half-written: whoever has the mutex next makes it anew from the
/// journals before anything else.
///
/// Cost: the devices take turns at one mutex, twice a DMA, for a handful of steps per doubling of the pins there are;
/// a conversion takes it once. A node is 16 bytes beside each pin's journal entry: they grow with the pins, not with
/// the guest, and are not in `metadataByteCount`. The death of a device with the mutex in hand costs a rebuild, linear in
/// all pins. A device that is stopped in the wrong moment stops everybody.
///
/// Its precedents: iommufd's interval trees of areas and pages (Linux, drivers/iommu/iommufd/io_pagetable.c); the range
/// lock patches, a tree of ranges under a spin lock (Jan Kara's range_lock, 2013; Davidlohr Bueso's, 2017).
public struct IntervalTreeLock: UnderOneMutex {
    public static let info = StrategyInfo(
        name: "intervaltree",
        summary: "a balanced tree of locked ranges under one robust mutex",
        isSafe: true,
        cost:
            "all devices: turns at one mutex; a rebuild of the tree when one dies with it in hand",
        policies: [.deny, .wait],
        kernelNeeds: nil,
        precedent:
            "iommufd's interval trees (drivers/iommu/iommufd/io_pagetable.c); Linux range_lock patches",
        family: .lists, place: 0)

    let pins: LockedPins<IntervalTree>

    public init(arena: Arena) { pins = LockedPins(arena: arena) }

    public func pinner(for device: DeviceID) -> Device { Device(pins, device) }

    // Not one generic class for both: of such a class the methods would look their types up in every call.
    public final class Device: Pinner {
        private let pins: LockedPins<IntervalTree>
        private let journal: JournalWriter

        init(_ pins: LockedPins<IntervalTree>, _ device: DeviceID) {
            self.pins = pins
            journal = pins.journal(of: device)
        }

        public func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
            try pins.pin(ranges, journal)
        }
        public func unpin(_ pin: Pin) { pins.unpin(pin, journal) }
    }
}
