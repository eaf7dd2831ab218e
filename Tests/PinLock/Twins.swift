import DmaLinux
import GuestMemory
import Synchronization

@testable import PinLock

/// A strategy that is another one but for what it says itself: the broken ones break one thing each.
protocol Twin: PinStrategy {
    associatedtype Original: PinStrategy
    var original: Original { get }
}

extension Twin {
    static var info: StrategyInfo { Original.info }
    static func sectionByteCount(pages: PageCount) -> Int {
        Original.sectionByteCount(pages: pages)
    }
    static func metadataByteCount(pages: PageCount) -> Int {
        Original.metadataByteCount(pages: pages)
    }
    var arena: Arena { original.arena }
    func pinner(for device: DeviceID) -> Original.Device { original.pinner(for: device) }
    func close(_ range: PageRange) throws(SystemError) { try original.close(range) }
    func search(_ range: PageRange, within nanoseconds: UInt64) -> PinSearch {
        original.search(range, within: nanoseconds)
    }
    func meetUnpins() throws(SystemError) { try original.meetUnpins() }
    func open(_ range: PageRange) { original.open(range) }
    func recover(_ device: DeviceID, until deadline: Deadline) throws(RecoveryRefusal) -> Int {
        try original.recover(device, until: deadline)
    }
    func audit() throws(SystemError) -> String? { try original.audit() }
}

/// A twin that lets a test act at the very moment when a conversion is about to open its pages to pins.
protocol Interruptible: Twin {
    var beforeOpen: @Sendable (PageRange) -> Void { get set }
}

/// Not broken.
struct Interposed<Original: PinStrategy>: Interruptible {
    let original: Original
    var beforeOpen: @Sendable (PageRange) -> Void = { _ in }
    var beforeClose: @Sendable (PageRange) -> Void = { _ in }

    init(arena: Arena) { original = Original(arena: arena) }

    func close(_ range: PageRange) throws(SystemError) {
        beforeClose(range)
        try original.close(range)
    }

    func open(_ range: PageRange) {
        beforeOpen(range)
        original.open(range)
    }
}

/// Not broken: counts how often a conversion looks for pins.
struct Watched<Original: PinStrategy>: Twin {
    let original: Original
    let looks = Counter()

    init(arena: Arena) { original = Original(arena: arena) }

    func search(_ range: PageRange, within nanoseconds: UInt64) -> PinSearch {
        looks.add(1)
        return original.search(range, within: nanoseconds)
    }
}

/// Unpins before the write, as a device would that takes the submission of a write for its end.
struct EarlyUnpin: Twin {
    let original: RangeTree

    init(arena: Arena) { original = RangeTree(arena: arena) }

    func pinner(for device: DeviceID) -> Device { Device(original.pinner(for: device)) }

    final class Device: Pinner {
        private let original: RangeTree.Device

        init(_ original: RangeTree.Device) { self.original = original }

        func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
            let pin = try original.pin(ranges)
            original.unpin(pin)
            return pin
        }

        func unpin(_ pin: Pin) {}
    }
}

/// A refused pin takes back all its counts but the last.
struct ShortUndo: Twin {
    let original: PerPage

    init(arena: Arena) { original = PerPage(arena: arena) }

    func pinner(for device: DeviceID) -> Device { Device(arena: arena, device: device) }

    final class Device: Pinner {
        private let pins: CountedPins<EntryCover>

        init(arena: Arena, device: DeviceID) {
            pins = CountedPins(EntryCover(arena: arena), arena: arena, device: device)
        }

        func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
            let range = ranges[0]
            guard range.upper <= pins.pages.rawValue else { return try pins.pin(range) }
            let pin = try pins.journal.begin(ranges)
            var done = 0
            let succeeded = pins.cover.forEachWord(range) { counted in
                let old = counted.word.pointee.wrappingAdd(counted.addend, ordering: .acquiring)
                if old.oldValue & counted.flags == counted.open {
                    done += 1
                    return true
                }
                counted.word.pointee.wrappingSubtract(counted.addend, ordering: .acquiring)
                return false
            }
            if succeeded {
                pins.journal.hold(pin)
                return pin
            }
            if done > 1 { pins.cover.release(range, words: done - 1) }
            pins.coordination.announceUnpin()
            pins.journal.end(pin)
            throw pins.cover.refusal(of: range)
        }

        func unpin(_ pin: Pin) { pins.unpin(pin) }
    }
}
