import DmaLinux
import GuestMemory
import Synchronization

/// One atomic operation per RMP entry: the answer the question expected to be too dear.
///
/// The idea: the pin count lies in the entry's first word, beside the state. A pin adds one to each entry of the
/// range and sees in the same step whether the page was shared; at the first that was not, it takes back what it
/// did. An unpin subtracts one from each.
///
/// Why no page is both pinned and private: count and state are one word (see `CountedPins`). A conversion marks the
/// entry `converting`, which pins refuse, and then looks at the count.
///
/// Cost: two locked operations per entry and DMA, paid by the device; 262,144 entries for 1 GiB of 4 KiB pages, 512
/// of 2 MiB. A conversion touches one entry. With 2 MiB entries a pin of part of one counts for all of it, so a
/// conversion of another page inside is denied.
///
/// Its precedents: locking every RMP entry; granule locks of Arm's RMM (TF-RMM, lib/granule/include/granule.h); the folio
/// reference counts that guest_memfd compares on conversion.
public struct PerPage: PinStrategy {
    public static let info = StrategyInfo(
        name: "perpage",
        summary:
            "one atomic read-modify-write per RMP entry, which checks the state and counts the pin",
        isSafe: true,
        cost: "the device: two locked operations per entry and DMA",
        policies: [.deny, .wait],
        kernelNeeds: nil,
        precedent:
            "locking each RMP entry; Arm RMM granule locks (TF-RMM granule.h); guest_memfd's folio references",
        family: .pages, place: 0)

    public static func sectionByteCount(pages: PageCount) -> Int { 0 }
    public static func metadataByteCount(pages: PageCount) -> Int {
        Int(pages.rawValue) * RMPTable.entryByteCount
    }

    public let arena: Arena
    private let cover: EntryCover

    public init(arena: Arena) {
        self.arena = arena
        cover = EntryCover(arena: arena)
    }

    public func pinner(for device: DeviceID) -> Device {
        Device(CountedPins(cover, arena: arena, device: device))
    }

    public final class Device: Pinner {
        private let pins: CountedPins<EntryCover>

        init(_ pins: CountedPins<EntryCover>) { self.pins = pins }

        public func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
            try pins.pin(ranges)
        }
        public func unpin(_ pin: Pin) { pins.unpin(pin) }
    }

    /// The claim in the table has closed the entries already.
    public func close(_ range: PageRange) {}
    public func open(_ range: PageRange) {}

    public func search(_ range: PageRange, within nanoseconds: UInt64) -> PinSearch {
        var pinned: GFN?
        _ = cover.forEachEntry(range) { page, word, _ in
            guard word.pointee.load(ordering: .sequentiallyConsistent) & EntryCover.countBits != 0
            else {
                return true
            }
            pinned = GFN(page)
            return false
        }
        return PinSearch(pinned)
    }

    public func recover(_ device: DeviceID, until deadline: Deadline) throws(RecoveryRefusal) -> Int
    {
        try cover.recover(device, arena: arena, until: deadline)
    }

    public func audit() throws(SystemError) -> String? { try cover.auditCounts(arena) }
}

/// The RMP entries of a range, in order.
struct EntryCover: CountedCover {
    static let countBits = RMPTable.Bits.pins
    static let guardBits = RMPTable.Bits.countGuard
    static let isPagewise = true

    private let arena: Arena
    private let table: RMPTable

    init(arena: Arena) {
        self.arena = arena
        table = arena.table
    }

    @inline(__always)
    func forEachWord(_ range: PageRange, _ body: (CountedWord) -> Bool) -> Bool {
        forEachEntry(range) { _, word, split in body(counted(word, split)) }
    }

    @inline(__always)
    func soleWord(of range: PageRange) -> CountedWord? {
        guard range.count.rawValue == 1, table.entrySize == .small else { return nil }
        return counted(table.word(range.lower), 0)
    }

    @inline(__always)
    private func counted(_ word: UnsafeMutablePointer<Atomic<UInt64>>, _ split: UInt64)
        -> CountedWord
    {
        let bits = RMPTable.Bits.self
        let flags = bits.shared | bits.converting | bits.split | bits.countGuard
        return CountedWord(word: word, addend: 1, flags: flags, open: bits.shared | split)
    }

    /// Calls `body` with the range's first page that an entry speaks for, the entry's word, and the split bit it
    /// has while the region around it is what it is now, until it returns false.
    @inline(__always)
    func forEachEntry(
        _ range: PageRange,
        _ body: (UInt64, UnsafeMutablePointer<Atomic<UInt64>>, UInt64) -> Bool
    ) -> Bool {
        let isLarge = table.entrySize == .large
        let upper = range.upper
        var page = range.lower
        while page < upper {
            var entry = page
            var next = page &+ 1
            var split: UInt64 = 0
            if isLarge {
                (entry, next, split) = largeEntry(around: page)
            }
            guard body(page, table.word(entry), split) else { return false }
            page = next
        }
        return true
    }

    private func largeEntry(around page: UInt64) -> (entry: UInt64, next: UInt64, split: UInt64) {
        if let head = table.wholeHead(around: page) { return (head, head + pagesPerLargeEntry, 0) }
        return (page, page + 1, page % pagesPerLargeEntry == 0 ? RMPTable.Bits.split : 0)
    }

    /// Whole 2 MiB regions: a head may have been split in the moment it was counted on, and it has the counts of
    /// pins anywhere in its region.
    func reach(of range: PageRange) -> PageRange {
        guard table.entrySize == .large else { return range }
        let inRegion = pagesPerLargeEntry - 1
        let head = range.lower & ~inRegion
        let end = min((range.upper + inRegion) & ~inRegion, table.pages.rawValue)
        return PageRange(start: head, count: end - head)
    }

    /// With an end inside a 2 MiB region that is one entry, all of that. None is split meanwhile that has a pin.
    func extent(of range: PageRange) -> PageRange {
        let start = table.wholeHead(around: range.lower) ?? range.lower
        let end = table.wholeHead(around: range.upper - 1).map { $0 + pagesPerLargeEntry }
        return PageRange(
            start: start, count: min(end ?? range.upper, table.pages.rawValue) - start)
    }

    func whatCloses(_ range: PageRange) -> PinRefusal? { table.whatCloses(range) }

    func pages(of word: UnsafeMutablePointer<Atomic<UInt64>>) -> PageRange {
        let page = table.page(of: word)
        guard table.wholeHead(around: page) != nil else { return PageRange(start: page, count: 1) }
        return PageRange(start: page, count: min(pagesPerLargeEntry, table.pages.rawValue - page))
    }

    func forEachTouchedWord(
        _ body: (UnsafeMutablePointer<Atomic<UInt64>>) throws(SystemError) -> Void
    ) throws(SystemError) {
        try arena.forEachTouchedPageRange { (pages) throws(SystemError) in
            for page in pages { try body(table.word(page)) }
        }
    }
}
