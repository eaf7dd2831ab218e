import GuestMemory

@testable import PinLock

/// The contract of pins and conversions, as naively as it can be put: what every page is, and which pins there are.
///
/// It counts in *cells*, runs of pages that are always alike: single pages in a small guest, whole GiBs in a large
/// one. Every range it is asked about begins and ends at an edge of a cell, or past the guest.
struct Reference {
    /// Where cells begin, and where the last one ends: with the guest's memory.
    let edges: [UInt64]
    /// What each cell is.
    var states: [PageState]
    var pins: [PageRange] = []
    var entries = LargeEntries()

    init(edges: [UInt64]) {
        self.edges = edges
        states = Array(repeating: .private, count: edges.count - 1)
    }

    private func first(in range: PageRange, _ matches: (Int) -> Bool) -> GFN? {
        for cell in states.indices where range.contains(GFN(edges[cell])) && matches(cell) {
            return GFN(edges[cell])
        }
        return nil
    }

    private func outside(_ range: PageRange) -> GFN? {
        range.upper > edges.last! ? GFN(max(range.lower, edges.last!)) : nil
    }

    func pinRefusal(_ range: PageRange) -> PinRefusal? {
        if let page = outside(range) { return .outOfRange(page) }
        return first(in: range) { states[$0] == .private }.map { .privatePage($0) }
    }

    /// With the policy `deny`.
    func conversionRefusal(_ range: PageRange, to state: PageState) -> ConversionRefusal? {
        if let page = outside(range) { return .outOfRange(page) }
        if let page = first(in: range, { states[$0] == state }) { return .alreadyInState(page) }
        return first(in: range) { cell in
            pins.contains { entries.reach(of: $0, at: edges[cell]).contains(GFN(edges[cell])) }
        }.map { .pinned($0) }
    }

    mutating func convert(_ range: PageRange, to state: PageState) {
        for cell in states.indices where range.contains(GFN(edges[cell])) { states[cell] = state }
        entries.convert(range, guestEnd: edges.last!)
    }
}

/// What 2 MiB entries add to the contract: conversions split them, and `perpage`, which counts pins in entries, may
/// refuse a page because another page of its whole entry is pinned. Never the other way round.
struct LargeEntries {
    /// Numbers of the 2 MiB regions that are entries of 4 KiB now; nil where all are from the start.
    var split: Set<UInt64>?
    var pinsCountForTheirEntry = false

    /// The pages that a pin stands for, as far as the region around `page` is concerned.
    func reach(of pin: PageRange, at page: UInt64) -> PageRange {
        let region = PageRange(
            start: page & ~(pagesPerLargeEntry - 1), count: pagesPerLargeEntry)
        guard pinsCountForTheirEntry, let split, pin.overlaps(region),
            !split.contains(page / pagesPerLargeEntry)
        else { return pin }
        return region
    }

    mutating func convert(_ range: PageRange, guestEnd: UInt64) {
        guard split != nil else { return }
        if range.lower % pagesPerLargeEntry != 0 { split!.insert(range.lower / pagesPerLargeEntry) }
        if range.upper % pagesPerLargeEntry != 0, range.upper != guestEnd {
            split!.insert(range.upper / pagesPerLargeEntry)
        }
    }
}
