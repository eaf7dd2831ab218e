import DmaLinux
import GuestMemory
import Synchronization

/// Checks, then locks: time of check to time of use. **Unsafe.**
///
/// The idea: the device reads the state of each page in the RMP table, the state of record, and pins the range in the
/// tree once it has seen that all are shared. Both steps are right in themselves.
///
/// What is wrong: they are two. A page that becomes private between them meets no pin, so its conversion commits; the
/// pin does not look again, so the device writes a private page. The later a page comes in the range, the shorter
/// its window; the window of the first one is the whole check. The oracle sees it within a few requests.
///
/// Cost: the device a load per page and DMA beside what `rangetree` costs it.
///
/// Its precedent: the classic race (CWE-367) of a device model that asks "is this shared?" and maps the page afterwards.
public struct Toctou: StandsOnTree {
    public static let info = StrategyInfo(
        name: "toctou",
        summary: "broken on purpose: checks the state of each page, then takes the pin",
        isSafe: false,
        cost: "the device: a load per page and DMA; private pages are written",
        policies: [.deny, .wait],
        kernelNeeds: nil,
        precedent: "the classic race of time of check to time of use (CWE-367)",
        family: .unsafe, place: 1)

    let tree: RangeTree

    public init(arena: Arena) { tree = RangeTree(arena: arena) }

    public func pinner(for device: DeviceID) -> Device {
        Device(arena.table, CountedPins(BlindCover(tree.cover), arena: arena, device: device))
    }

    public final class Device: Pinner {
        private let table: RMPTable
        private let pins: CountedPins<BlindCover>

        init(_ table: RMPTable, _ pins: CountedPins<BlindCover>) {
            self.table = table
            self.pins = pins
        }

        public func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
            guard ranges.indices.allSatisfy({ ranges[$0].upper <= pins.pages.rawValue }) else {
                throw PinRefusal.outside(ranges, pins.pages)
            }
            for index in ranges.indices {
                let range = ranges[index]
                for page in range.lower..<range.upper where !table.isOpen(GFN(page)) {
                    throw table.refusal(of: range)
                }
            }
            return try pins.pin(ranges)
        }

        public func unpin(_ pin: Pin) { pins.unpin(pin) }
    }
}

/// The tree's words, pinned whether they are open or not.
struct BlindCover: CountedCover {
    static let countBits = ForestCover.countBits
    static let guardBits = ForestCover.guardBits
    static let isPagewise = ForestCover.isPagewise

    private let cover: ForestCover

    init(_ cover: ForestCover) { self.cover = cover }

    @inline(__always)
    func forEachWord(_ range: PageRange, _ body: (CountedWord) -> Bool) -> Bool {
        cover.forEachWord(range) { counted in
            body(
                CountedWord(
                    word: counted.word, addend: counted.addend,
                    flags: counted.flags & Self.guardBits, open: 0))
        }
    }

    func whatCloses(_ range: PageRange) -> PinRefusal? { cover.whatCloses(range) }
    func pages(of word: UnsafeMutablePointer<Atomic<UInt64>>) -> PageRange { cover.pages(of: word) }

    func forEachTouchedWord(
        _ body: (UnsafeMutablePointer<Atomic<UInt64>>) throws(SystemError) -> Void
    ) throws(SystemError) {
        try cover.forEachTouchedWord(body)
    }
}
