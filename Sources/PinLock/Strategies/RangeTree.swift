import DmaLinux
import GuestMemory
import Synchronization

/// A counted segment tree: a pin of any range is a handful of atomic additions.
///
/// The idea: every aligned power-of-four run of pages is a node with a count of its pins and a bit that says whether
/// all its pages are open. A pin of a range adds to the few nodes that make it up (its canonical cover), several
/// lanes of a word at a time: one addition for an aligned GiB, at most two per level otherwise.
///
/// Why no page is both pinned and private: a pin counts on exactly one node above each of its pages, and a conversion
/// of the page closes every node above it; they meet in one atomic word (see `CountedPins`). Opening is the
/// delicate part, since a node may be opened only when nothing below it is closed: converters take a lock per GiB,
/// and work an inner node out from its children instead of putting it back (see `CountedTree`).
///
/// Cost: the device pays a locked addition per word, twice; a conversion pays one per level and a lock. 0.67 MiB per
/// GiB of guest memory.
///
/// Its precedent: the range lock that the comment on rmpupdate() calls optimal (Linux, arch/x86/virt/svm/sev.c).
public struct RangeTree: PinStrategy {
    public static let info = StrategyInfo(
        name: "rangetree",
        summary:
            "a counted segment tree: one atomic addition for an aligned GiB, two words a level otherwise",
        isSafe: true,
        cost: "the device: some tens of nanoseconds per DMA; the converter: ten atomic operations",
        policies: [.deny, .wait],
        kernelNeeds: nil,
        precedent:
            "the range lock that Linux's comment on rmpupdate() asks for (arch/x86/virt/svm/sev.c)",
        family: .tree, place: 0)

    public static func sectionByteCount(pages: PageCount) -> Int { Forest.byteCount(pages: pages) }
    public static func metadataByteCount(pages: PageCount) -> Int { Forest.byteCount(pages: pages) }

    public let arena: Arena
    let cover: ForestCover

    public init(arena: Arena) {
        self.arena = arena
        cover = ForestCover(arena: arena)
    }

    public func pinner(for device: DeviceID) -> Device {
        Device(CountedPins(cover, arena: arena, device: device))
    }

    public final class Device: Pinner {
        let pins: CountedPins<ForestCover>

        init(_ pins: CountedPins<ForestCover>) { self.pins = pins }

        public func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
            try pins.pin(ranges)
        }
        public func unpin(_ pin: Pin) { pins.unpin(pin) }
    }

    public func close(_ range: PageRange) { cover.forest.close(range) }
    public func open(_ range: PageRange) { cover.forest.open(range) }
    public func search(_ range: PageRange, within nanoseconds: UInt64) -> PinSearch {
        PinSearch(cover.forest.firstPinned(in: range))
    }

    public func recover(_ device: DeviceID, until deadline: Deadline) throws(RecoveryRefusal) -> Int
    {
        try cover.recover(device, arena: arena, until: deadline)
    }

    public func audit() throws(SystemError) -> String? {
        if let complaint = try cover.auditCounts(arena) { return complaint }
        return try cover.forest.auditOpenLanes(arena)
    }
}

/// The tree words of a range.
struct ForestCover: CountedCover {
    static let countBits = CountedTree.Lanes.pins
    static let guardBits = CountedTree.Lanes.countGuard
    static let isPagewise = false

    let arena: Arena
    let forest: Forest

    init(arena: Arena) {
        self.arena = arena
        forest = Forest(at: arena.section, pages: arena.pages)
    }

    @inline(__always)
    func forEachWord(_ range: PageRange, _ body: (CountedWord) -> Bool) -> Bool {
        forest.forEachWord(range, body)
    }

    @inline(__always)
    func soleWord(of range: PageRange) -> CountedWord? { forest.soleWord(of: range) }

    /// The tree tells fast which page is closed, the table whether for good.
    func whatCloses(_ range: PageRange) -> PinRefusal? {
        forest.firstClosed(in: range).map {
            arena.table.refusal(of: PageRange(start: $0.rawValue, count: 1))
        }
    }

    /// All there are: a part of a pin's range has another cover than the whole.
    func pages(of word: UnsafeMutablePointer<Atomic<UInt64>>) -> PageRange {
        PageRange(start: 0, count: arena.pages.rawValue)
    }

    func forEachTouchedWord(
        _ body: (UnsafeMutablePointer<Atomic<UInt64>>) throws(SystemError) -> Void
    ) throws(SystemError) {
        try forest.forEachTouchedWord(arena, body)
    }
}
