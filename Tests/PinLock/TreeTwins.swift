import DmaLinux
import GuestMemory
import Synchronization

@testable import PinLock

/// The counted tree at its smallest, for guests of up to sixteen pages: one word above four leaf words. Not broken;
/// the twins below are.
struct SixteenPages: PinStrategy {
    static let info = RangeTree.info
    static func sectionByteCount(pages: PageCount) -> Int { 4096 }
    static func metadataByteCount(pages: PageCount) -> Int { 4096 }

    let arena: Arena
    let cover: Cover

    init(arena: Arena) {
        self.arena = arena
        cover = Cover(arena: arena)
    }

    struct Cover: CountedCover {
        static let countBits = CountedTree.Lanes.pins
        static let guardBits = CountedTree.Lanes.countGuard
        static let isPagewise = false

        let arena: Arena
        let tree: CountedTree

        init(arena: Arena) {
            self.arena = arena
            let words = (arena.section + 64).assumingMemoryBound(to: Atomic<UInt64>.self)
            tree = CountedTree(
                root: words, leaves: words + 1, depth: 2)
        }

        func forEachWord(_ range: PageRange, _ body: (CountedWord) -> Bool) -> Bool {
            tree.forEachWord(range.lower, range.upper, body)
        }

        func whatCloses(_ range: PageRange) -> PinRefusal? { arena.table.whatCloses(range) }
        func pages(of word: UnsafeMutablePointer<Atomic<UInt64>>) -> PageRange {
            range(0..<arena.pages.rawValue)
        }

        func forEachTouchedWord(
            _ body: (UnsafeMutablePointer<Atomic<UInt64>>) throws(SystemError) -> Void
        ) throws(SystemError) {
            for index in 0..<5 { try body(tree.root + index) }
        }
    }

    final class Device: Pinner {
        private let pins: CountedPins<Cover>

        init(_ pins: CountedPins<Cover>) { self.pins = pins }

        func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin { try pins.pin(ranges) }
        func unpin(_ pin: Pin) { pins.unpin(pin) }
    }

    func pinner(for device: DeviceID) -> Device {
        Device(CountedPins(cover, arena: arena, device: device))
    }

    private var lock: ConverterLock { ConverterLock(at: arena.section) }

    func close(_ range: PageRange) {
        lock.withLock { _ = cover.tree.close(range.lower, range.upper) }
    }
    func search(_ range: PageRange, within nanoseconds: UInt64) -> PinSearch {
        PinSearch(cover.tree.firstPinned(range.lower, range.upper).map { GFN($0) })
    }
    func open(_ range: PageRange) {
        lock.withLock { _ = cover.tree.open(range.lower, range.upper) }
    }
    func recover(_ device: DeviceID, until deadline: Deadline) throws(RecoveryRefusal) -> Int {
        try cover.recover(device, arena: arena, until: deadline)
    }
    func audit() throws(SystemError) -> String? {
        if let complaint = try cover.auditCounts(arena) { return complaint }
        return cover.tree.auditInnerLanes()
    }

    /// The leaf word of a page, and the page's lane.
    func leaf(of page: UInt64) -> (word: UnsafeMutablePointer<Atomic<UInt64>>, lane: UInt64) {
        (cover.tree.root + 1 + Int(page / 4), page % 4)
    }
}

/// A refused conversion puts the word above back as it found it.
struct RestoresInnerLanes: Interruptible {
    let original: SixteenPages
    /// The lanes of the word above that were open when a conversion closed them, by the page it begins with.
    private let found = Found()
    var beforeOpen: @Sendable (PageRange) -> Void = { _ in }

    private final class Found: Sendable {
        let lanes = Mutex<[GFN: UInt64]>([:])
    }

    init(arena: Arena) { original = SixteenPages(arena: arena) }

    func close(_ range: PageRange) throws(SystemError) {
        let root = original.cover.tree.root.pointee.load(ordering: .acquiring)
        found.lanes.withLock { $0[range.start] = root & CountedTree.Lanes.open }
        original.close(range)
    }

    func open(_ range: PageRange) {
        beforeOpen(range)
        guard let lanes = found.lanes.withLock({ $0.removeValue(forKey: range.start) }) else {
            return original.open(range)
        }
        for page in range.lower..<range.upper {
            let (word, lane) = original.leaf(of: page)
            word.pointee.bitwiseOr(1 << (16 * lane + 15), ordering: .acquiringAndReleasing)
        }
        original.cover.tree.root.pointee.bitwiseOr(lanes, ordering: .acquiringAndReleasing)
    }
}

/// A conversion looks for counts on its pages' own lanes only.
struct ForgetsCountsAbove: Twin {
    let original: SixteenPages

    init(arena: Arena) { original = SixteenPages(arena: arena) }

    func search(_ range: PageRange, within nanoseconds: UInt64) -> PinSearch {
        for page in range.lower..<range.upper {
            let (word, lane) = original.leaf(of: page)
            let counts = word.pointee.load(ordering: .sequentiallyConsistent)
            if counts >> (16 * lane) & 0x7fff != 0 { return .pinned(GFN(page)) }
        }
        return .none
    }
}
