import DmaLinux
import GuestMemory
import Synchronization

@testable import PinLock

/// The device looks whether the range is open, and writes it down then.
struct LooksFirst: Twin {
    let original: Epoch

    init(arena: Arena) { original = Epoch(arena: arena) }

    func pinner(for device: DeviceID) -> Device {
        Device(original.pinner(for: device), ForestCover(arena: arena))
    }

    final class Device: Pinner {
        private let original: Epoch.Device
        private let cover: ForestCover
        private let journal: JournalWriter

        init(_ original: Epoch.Device, _ cover: ForestCover) {
            self.original = original
            self.cover = cover
            journal = JournalWriter(DeviceID(original.number), in: cover.arena)
        }

        func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
            let range = ranges[0]
            guard cover.forest.firstClosed(in: range) == nil else {
                throw cover.refusal(of: range)
            }
            let pin = try journal.begin(ranges)
            journal.hold(pin)
            return pin
        }

        func unpin(_ pin: Pin) { original.unpin(pin) }
    }
}
