import GuestMemory
import Synchronization

/// The reverse map table: 16 bytes per 4 KiB page that say whether the page is private or shared.
///
/// The hardware's table has an entry per page of host memory (AMD APM vol. 2, 15.36.3; Linux
/// arch/x86/virt/svm/sev.c, struct rmpentry); this one has an entry per page of guest memory and is ours to lock.
/// An entry's first word, as far as pins and conversions read it:
///
///     63      62          61     60…32  31     30…0
///     shared  converting  split  zero   guard  pins
///
/// `pins` is counted by the strategies that lock entries; `guard` is set by the count that fills it. The second
/// word stands where the hardware keeps the guest physical address and the ASID; a pin reads neither.
///
/// With 2 MiB entries, the entry of a 2 MiB region's first page (its head) speaks for the whole region until it is
/// `split`, as PSMASH does; a look-up reads the head first, as the hardware's does. What is split stays split.
public struct RMPTable {
    public static let entryByteCount = 16

    enum Bits {
        static let shared: UInt64 = 1 << 63
        static let converting: UInt64 = 1 << 62
        static let split: UInt64 = 1 << 61
        static let countGuard: UInt64 = 1 << 31
        static let pins: UInt64 = (1 << 32) - 1
    }

    let pages: PageCount
    let entrySize: EntrySize
    private let base: UnsafeMutableRawPointer

    init(at base: UnsafeMutableRawPointer, pages: PageCount, entrySize: EntrySize) {
        self.base = base
        self.pages = pages
        self.entrySize = entrySize
    }

    /// The word of a page's own entry.
    @inline(__always)
    func word(_ page: UInt64) -> UnsafeMutablePointer<Atomic<UInt64>> {
        (base + Int(truncatingIfNeeded: page &* UInt64(Self.entryByteCount))).assumingMemoryBound(
            to: Atomic<UInt64>.self)
    }

    /// The page whose own entry has the word.
    func page(of word: UnsafeMutablePointer<Atomic<UInt64>>) -> UInt64 {
        UInt64((UnsafeMutableRawPointer(word) - base) / Self.entryByteCount)
    }

    /// The head of the 2 MiB region around the page, where that region is one entry now.
    @inline(__always)
    func wholeHead(around page: UInt64) -> UInt64? {
        guard entrySize == .large else { return nil }
        let head = page & ~(pagesPerLargeEntry - 1)
        return word(head).pointee.load(ordering: .acquiring) & Bits.split == 0 ? head : nil
    }

    /// The word that speaks for a page now. The head's is read once: after a split it speaks for itself alone.
    private func effective(_ page: UInt64) -> UInt64 {
        if entrySize == .large {
            let head = word(page & ~(pagesPerLargeEntry - 1)).pointee.load(ordering: .acquiring)
            if head & Bits.split == 0 { return head }
        }
        return word(page).pointee.load(ordering: .acquiring)
    }

    public func state(of gfn: GFN) -> PageState {
        effective(gfn.rawValue) & Bits.shared != 0 ? .shared : .private
    }

    /// Whether the page is shared and no conversion of it is under way: what a pin may take.
    public func isOpen(_ gfn: GFN) -> Bool {
        effective(gfn.rawValue) & (Bits.shared | Bits.converting) == Bits.shared
    }

    /// Why a pin of the range was refused.
    func refusal(of range: PageRange) -> PinRefusal {
        // Opened since, perhaps.
        whatCloses(range) ?? .converting(range.start)
    }

    /// The first page of the range that is not open, and why; nil where all are.
    func whatCloses(_ range: PageRange) -> PinRefusal? {
        var page = range.lower
        while page < range.upper {
            let word = effective(page)
            if word & Bits.converting != 0 { return .converting(GFN(page)) }
            if word & Bits.shared == 0 { return .privatePage(GFN(page)) }
            page = wholeHead(around: page).map { $0 + pagesPerLargeEntry } ?? page + 1
        }
        return nil
    }
}

// A pointer to atomics in the arena, whose mapping the arena keeps.
extension RMPTable: @unchecked Sendable {}

// MARK: Conversions

extension RMPTable {
    /// Calls `body` with the entry of each part of the range: the page itself, or the head of a 2 MiB region that is
    /// one entry; with the range's first page there, and the split bit that the entry has while it is what it is now.
    /// Stops where `body` returns false; nil if it never did.
    @discardableResult
    private func forEachEntry(
        _ range: PageRange, _ body: (_ entry: UInt64, _ page: UInt64, _ split: UInt64) -> Bool
    ) -> UInt64? {
        var page = range.lower
        while page < range.upper {
            if let head = wholeHead(around: page) {
                guard body(head, page, 0) else { return page }
                page = min(head + pagesPerLargeEntry, range.upper)
            } else {
                let isHead = entrySize == .large && page % pagesPerLargeEntry == 0
                guard body(page, page, isHead ? Bits.split : 0) else { return page }
                page += 1
            }
        }
        return nil
    }

    /// Claims every page of the range for one conversion that finds it in `state`, or none.
    ///
    /// From then on no other conversion of these pages starts, and no strategy that locks entries lets a pin in.
    /// Acquires what earlier conversions of the pages released.
    func claim(_ range: PageRange, leaving state: PageState) throws(ConversionRefusal) {
        let wanted = state == .shared ? Bits.shared : 0
        var refusal: ConversionRefusal?
        let stopped = forEachEntry(range) { entry, page, split in
            let word = word(entry)
            var old = word.pointee.load(ordering: .relaxed)
            while true {
                // An entry that was whole and has been split since is another entry now.
                if old & Bits.converting != 0 || old & Bits.split != split {
                    refusal = .converting(GFN(page))
                    return false
                }
                if old & Bits.shared != wanted {
                    refusal = .alreadyInState(GFN(page))
                    return false
                }
                let (exchanged, now) = word.pointee.compareExchange(
                    expected: old, desired: old | Bits.converting, ordering: .acquiringAndReleasing)
                if exchanged { return true }
                old = now
            }
        }
        guard let stopped, let refusal else { return }
        if stopped > range.lower {
            releaseClaim(PageRange(start: range.lower, count: stopped - range.lower))
        }
        throw refusal
    }

    /// Ends a claim, whether or not the pages' state has changed meanwhile.
    func releaseClaim(_ range: PageRange) {
        forEachEntry(range) { entry, _, _ in
            word(entry).pointee.bitwiseXor(Bits.converting, ordering: .releasing)
            return true
        }
    }

    /// Splits the 2 MiB entries that the claimed range covers in part, as PSMASH would: the other pages keep their
    /// state and are free to convert again, the range's pages stay claimed. No pin is left in them.
    func split(_ range: PageRange) {
        guard entrySize == .large else { return }
        forEachEntry(range) { _, page, _ in
            guard let head = wholeHead(around: page) else { return true }
            let region = head..<min(head + pagesPerLargeEntry, pages.rawValue)
            guard range.lower > head || range.upper < region.upperBound else { return true }
            let shared = word(head).pointee.load(ordering: .relaxed) & Bits.shared
            for other in region.dropFirst() {
                let claimed = range.contains(GFN(other)) ? Bits.converting : 0
                word(other).pointee.store(shared | claimed, ordering: .relaxed)
            }
            // One step for the head: counts of pins that are on their way out stay what they are.
            let change = range.contains(GFN(head)) ? Bits.split : Bits.split | Bits.converting
            word(head).pointee.bitwiseXor(change, ordering: .releasing)
            return true
        }
    }

    /// Gives the claimed range the other state, entry by entry. The claim stays.
    func commit(_ range: PageRange) {
        forEachEntry(range) { entry, _, _ in
            word(entry).pointee.bitwiseXor(Bits.shared, ordering: .acquiringAndReleasing)
            return true
        }
    }

    /// How many 2 MiB regions with a head among `pages` have been split since the guest started.
    func splitCount(in pages: Range<UInt64>) -> UInt64 {
        guard entrySize == .large else { return 0 }
        let first =
            (pages.lowerBound + pagesPerLargeEntry - 1) / pagesPerLargeEntry * pagesPerLargeEntry
        var sum: UInt64 = 0
        for head in stride(from: first, to: pages.upperBound, by: UInt64.Stride(pagesPerLargeEntry))
        {
            if word(head).pointee.load(ordering: .relaxed) & Bits.split != 0 { sum += 1 }
        }
        return sum
    }
}
