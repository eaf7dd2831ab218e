import GuestMemory

@testable import PinLock

/// A tree that stays as a dead owner has left it.
struct KeepsWhatItFinds: PinIndex {
    static let byteCount = IntervalTree.byteCount
    let original: IntervalTree

    init(at base: UnsafeMutableRawPointer, arena: Arena) {
        original = IntervalTree(at: base, arena: arena)
    }

    func insert(_ entry: Int, of device: DeviceID) { original.insert(entry, of: device) }
    func remove(_ entry: Int, of device: DeviceID) { original.remove(entry, of: device) }
    func firstPinned(in range: PageRange) -> GFN? { original.firstPinned(in: range) }
    func rebuild() {}
    func audit() -> String? { original.audit() }
}

/// Not broken: counts how often all pins are put in anew, for which everybody waits.
struct CountsRebuilds: PinIndex {
    static let byteCount = IntervalTree.byteCount
    let original: IntervalTree
    let rebuilds = Counter()

    init(at base: UnsafeMutableRawPointer, arena: Arena) {
        original = IntervalTree(at: base, arena: arena)
    }

    func insert(_ entry: Int, of device: DeviceID) { original.insert(entry, of: device) }
    func remove(_ entry: Int, of device: DeviceID) { original.remove(entry, of: device) }
    func firstPinned(in range: PageRange) -> GFN? { original.firstPinned(in: range) }
    func rebuild() {
        rebuilds.add(1)
        original.rebuild()
    }
    func audit() -> String? { original.audit() }
}

/// Looks for pins that begin in the range, and forgets those that reach into it.
struct ForgetsPinsThatReachIn: Twin {
    let original: IntervalTreeLock

    init(arena: Arena) { original = IntervalTreeLock(arena: arena) }

    func search(_ range: PageRange, within nanoseconds: UInt64) -> PinSearch {
        var lowest: GFN?
        arena.forEachListedPin { _, _, pinned in
            guard range.contains(pinned.start) else { return }
            lowest = min(lowest ?? pinned.start, pinned.start)
        }
        return PinSearch(lowest)
    }
}

/// Sees that the pages are open, and takes the mutex then.
struct LooksBeforeTheMutex: Twin {
    let original: MutexList

    init(arena: Arena) { original = MutexList(arena: arena) }

    func pinner(for device: DeviceID) -> Device { Device(original.pins, device) }

    final class Device: Pinner {
        private let pins: LockedPins<PinList>
        private let journal: JournalWriter
        var betweenLookAndMutex: () -> Void = {}

        init(_ pins: LockedPins<PinList>, _ device: DeviceID) {
            self.pins = pins
            journal = pins.journal(of: device)
        }

        func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
            let range = ranges[0]
            let pin = try journal.begin(ranges)
            if pins.forest.firstClosed(in: range) != nil {
                journal.end(pin)
                throw pins.arena.table.refusal(of: range)
            }
            betweenLookAndMutex()
            pins.mutex.withLock { journal.hold(pin) }
            return pin
        }

        func unpin(_ pin: Pin) { pins.unpin(pin, journal) }
    }
}
