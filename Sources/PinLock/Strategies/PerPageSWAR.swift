import DmaLinux
import GuestMemory
import Synchronization

/// A count per page, eight of them to an atomic operation: the best that locking page by page can do.
///
/// The idea: a byte per page, with a count of its pins and a bit that says whether it is open. Eight bytes are a word,
/// so a pin takes eight pages with one addition, and sees in the same step whether all eight were open. The bytes of
/// 1 GiB fit in a processor's second-level cache.
///
/// Why no page is both pinned and private: count and bit are in one word (see `CountedPins`). A conversion clears its
/// pages' bits, and then looks at their counts. Bytes of different pages never depend on each other, so conversions
/// need no lock.
///
/// Cost: two locked operations per eight pages and DMA, paid by the device; 65,536 for 1 GiB. A conversion touches one
/// word. A page takes 32 pins, no more. 0.25 MiB per GiB of guest memory.
///
/// Its precedent: SIMD within a register (Fisher and Dietz, LCPC 1998), applied to a lock per page. No hypervisor is known
/// to do it: it shows where the limit is.
public struct PerPageSWAR: PinStrategy {
    public static let info = StrategyInfo(
        name: "perpage-swar",
        summary: "a byte per page, eight to a word: one atomic addition checks and counts 8 pages",
        isSafe: true,
        cost: "the device: two locked operations per 8 pages and DMA; 32 pins of a page at most",
        policies: [.deny, .wait],
        kernelNeeds: nil,
        precedent: "the limit of locking page by page; SIMD within a register (Fisher, Dietz 1998)",
        family: .pages, place: 1)

    public static func sectionByteCount(pages: PageCount) -> Int { LaneCover.byteCount(pages) }
    public static func metadataByteCount(pages: PageCount) -> Int { LaneCover.byteCount(pages) }

    public let arena: Arena
    private let cover: LaneCover

    public init(arena: Arena) {
        self.arena = arena
        cover = LaneCover(arena: arena)
    }

    public func pinner(for device: DeviceID) -> Device {
        Device(CountedPins(cover, arena: arena, device: device))
    }

    public final class Device: Pinner {
        private let pins: CountedPins<LaneCover>

        init(_ pins: CountedPins<LaneCover>) { self.pins = pins }

        public func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
            try pins.pin(ranges)
        }
        public func unpin(_ pin: Pin) { pins.unpin(pin) }
    }

    public func close(_ range: PageRange) {
        _ = cover.forEachWord(range) { lanes in
            lanes.word.pointee.bitwiseAnd(~lanes.open, ordering: .acquiringAndReleasing)
            return true
        }
    }

    public func open(_ range: PageRange) {
        _ = cover.forEachWord(range) { lanes in
            lanes.word.pointee.bitwiseOr(lanes.open, ordering: .acquiringAndReleasing)
            return true
        }
    }

    public func search(_ range: PageRange, within nanoseconds: UInt64) -> PinSearch {
        PinSearch(
            cover.firstPage(in: range) { lanes in
                lanes.word.pointee.load(ordering: .sequentiallyConsistent)
                    & (lanes.addend &* LaneCover.lanePins)
            })
    }

    public func recover(_ device: DeviceID, until deadline: Deadline) throws(RecoveryRefusal) -> Int
    {
        try cover.recover(device, arena: arena, until: deadline)
    }

    public func audit() throws(SystemError) -> String? {
        if let complaint = try cover.auditCounts(arena) { return complaint }
        return try cover.auditOpenLanes(arena)
    }
}

/// The words of a range's bytes, in order.
///
///     7     6…0
///     open  pins
///
/// A byte is full at 32 pins, long before its count reaches `open`: each of 64 devices may have added one more that
/// it is about to take back.
struct LaneCover: CountedCover {
    static let countBits = ones &* lanePins
    static let guardBits = ones &* laneGuard
    static let isPagewise = true

    static let lanePins: UInt64 = 0x7f
    private static let laneGuard: UInt64 = 0x60
    private static let laneFlags: UInt64 = 0xe0
    private static let ones: UInt64 = 0x0101_0101_0101_0101

    static func byteCount(_ pages: PageCount) -> Int { Int((pages.rawValue + 7) & ~7) }

    private let arena: Arena

    init(arena: Arena) { self.arena = arena }

    @inline(__always)
    private func word(of page: UInt64) -> UnsafeMutablePointer<Atomic<UInt64>> {
        (arena.section + Int(truncatingIfNeeded: page & ~7)).assumingMemoryBound(
            to: Atomic<UInt64>.self)
    }

    @inline(__always)
    func forEachWord(_ range: PageRange, _ body: (CountedWord) -> Bool) -> Bool {
        let upper = range.upper
        var page = range.lower
        while page < upper {
            let first = page & 7
            let next = min(page &- first &+ 8, upper)
            let lanes = (Self.ones &>> ((8 &- (next &- page)) &<< 3)) &<< (first &<< 3)
            let counted = CountedWord(
                word: word(of: page), addend: lanes, flags: lanes &* Self.laneFlags,
                open: lanes &<< 7)
            guard body(counted) else { return false }
            page = next
        }
        return true
    }

    /// The first page of the range that has a bit set in what `bits` says of its word.
    func firstPage(in range: PageRange, _ bits: (CountedWord) -> UInt64) -> GFN? {
        var found: GFN?
        var page = range.lower & ~7
        _ = forEachWord(range) { lanes in
            let bits = bits(lanes)
            if bits != 0 { found = GFN(page + UInt64(bits.trailingZeroBitCount) / 8) }
            page += 8
            return bits == 0
        }
        return found
    }

    private func firstClosed(in range: PageRange) -> GFN? {
        firstPage(in: range) { ~$0.word.pointee.load(ordering: .acquiring) & $0.open }
    }

    /// The bytes tell fast which page is closed, the table whether for good.
    func whatCloses(_ range: PageRange) -> PinRefusal? {
        firstClosed(in: range).map {
            arena.table.refusal(of: PageRange(start: $0.rawValue, count: 1))
        }
    }

    func pages(of word: UnsafeMutablePointer<Atomic<UInt64>>) -> PageRange {
        let first = UInt64(UnsafeMutableRawPointer(word) - arena.section)
        return PageRange(start: first, count: min(8, arena.pages.rawValue - first))
    }

    /// Whole words: a recount gives a word all its counts, the neighbours' among them.
    func reach(of range: PageRange) -> PageRange {
        let start = range.lower & ~7
        let end = min((range.upper + 7) & ~7, arena.pages.rawValue)
        return PageRange(start: start, count: end - start)
    }

    func forEachTouchedWord(
        _ body: (UnsafeMutablePointer<Atomic<UInt64>>) throws(SystemError) -> Void
    ) throws(SystemError) {
        try arena.forEachTouchedExtent(ofSection: Self.byteCount(arena.pages)) {
            (bytes) throws(SystemError) in
            for page in stride(from: bytes.lowerBound, to: bytes.upperBound, by: 8) {
                try body(word(of: UInt64(page)))
            }
        }
    }

    /// The first byte that is not what the table makes it, in words.
    func auditOpenLanes(_ arena: Arena) throws(SystemError) -> String? {
        var complaint: String?
        try arena.forEachTouchedPageRange { (pages) throws(SystemError) in
            for page in pages where complaint == nil {
                let isClosed = firstClosed(in: PageRange(start: page, count: 1)) != nil
                guard isClosed == arena.table.isOpen(GFN(page)) else { continue }
                complaint =
                    "\(GFN(page)) is \(isClosed ? "closed" : "open") in its byte, not in the table"
            }
        }
        return complaint
    }
}
