import DmaLinux
import GuestMemory
import Synchronization

@testable import PinLock

/// The bytes of `perpage-swar` but for what a twin says itself.
protocol LaneTwin: CountedCover {
    var original: LaneCover { get }
}

extension LaneTwin {
    static var countBits: UInt64 { LaneCover.countBits }
    static var guardBits: UInt64 { LaneCover.guardBits }
    static var isPagewise: Bool { LaneCover.isPagewise }

    func forEachWord(_ range: PageRange, _ body: (CountedWord) -> Bool) -> Bool {
        original.forEachWord(range, body)
    }
    func reach(of range: PageRange) -> PageRange { original.reach(of: range) }
    func extent(of range: PageRange) -> PageRange { original.extent(of: range) }
    func whatCloses(_ range: PageRange) -> PinRefusal? { original.whatCloses(range) }
    func pages(of word: UnsafeMutablePointer<Atomic<UInt64>>) -> PageRange {
        original.pages(of: word)
    }
    func forEachTouchedWord(
        _ body: (UnsafeMutablePointer<Atomic<UInt64>>) throws(SystemError) -> Void
    ) throws(SystemError) {
        try original.forEachTouchedWord(body)
    }
}

/// A recovery works out the counts of a torn pin's words, as if nobody else had pages in them.
struct NarrowReach: LaneTwin {
    let original: LaneCover

    func reach(of range: PageRange) -> PageRange { range }
}

/// A pin counts on all pages of its first and last words.
struct CountsWholeWords: Twin {
    let original: PerPageSWAR

    init(arena: Arena) { original = PerPageSWAR(arena: arena) }

    struct Cover: LaneTwin {
        let original: LaneCover

        func forEachWord(_ range: PageRange, _ body: (CountedWord) -> Bool) -> Bool {
            original.forEachWord(range) { counted in
                body(
                    CountedWord(
                        word: counted.word, addend: 0x0101_0101_0101_0101, flags: counted.flags,
                        open: counted.open))
            }
        }
    }

    func pinner(for device: DeviceID) -> Device {
        Device(
            CountedPins(
                Cover(original: LaneCover(arena: arena)), arena: arena, device: device))
    }

    final class Device: Pinner {
        private let pins: CountedPins<Cover>

        init(_ pins: CountedPins<Cover>) { self.pins = pins }

        func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin { try pins.pin(ranges) }
        func unpin(_ pin: Pin) { pins.unpin(pin) }
    }
}
