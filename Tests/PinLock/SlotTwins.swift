import DmaLinux
import GuestMemory
import Synchronization

@testable import PinLock

/// Slots with room for one pin, so that others are counted in the tree beside it. Not broken; the twins below are.
struct OneSlot: Twin {
    let original: Slots

    init(arena: Arena) { original = Slots(arena: arena) }

    func pinner(for device: DeviceID) -> Slots.Device {
        Slots.Device(ForestCover(arena: arena), arena: arena, device: device, slots: 1)
    }
}

/// A conversion looks at the counts only.
struct ForgetsTheSlots: Twin {
    let original: Slots

    init(arena: Arena) { original = Slots(arena: arena) }

    func search(_ range: PageRange, within nanoseconds: UInt64) -> PinSearch {
        PinSearch(ForestCover(arena: arena).forest.firstPinned(in: range))
    }
}

/// Looks whether the range is open, and publishes it then.
struct LooksThenPublishes: Twin {
    let original: Slots

    init(arena: Arena) { original = Slots(arena: arena) }

    func pinner(for device: DeviceID) -> Device { Device(arena: arena, device: device) }

    final class Device: Pinner {
        private let cover: ForestCover
        private let device: DeviceID
        private let slot: UnsafeMutablePointer<Atomic<UInt64>>
        private let list: UnsafeMutablePointer<Atomic<UInt64>>
        var betweenLookAndPublishing: () -> Void = {}

        init(arena: Arena, device: DeviceID) {
            cover = ForestCover(arena: arena)
            self.device = device
            slot = arena.published.slots(of: device)
            list = arena.published.lists(of: device)
        }

        func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
            let range = ranges[0]
            guard cover.forest.isOpen(range) else { throw cover.refusal(of: range) }
            betweenLookAndPublishing()
            PublishedPins.write(range, to: list)
            PublishedPins.publish(PublishedPins.header(1, 1), in: slot.pointee)
            return Pin(range: range, device: device, entry: 0, ticket: 0)
        }

        func unpin(_ pin: Pin) { slot.pointee.store(0, ordering: .releasing) }
    }
}
