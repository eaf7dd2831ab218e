import DmaLinux
import GuestMemory
import Synchronization

/// How much is counted anew in one freeze: 2 GiB of guest memory, page by page. A table's part of that is 8 MiB.
enum Recount {
    static let pages: UInt64 = 1 << 19
}

/// Giving words the counts of the held pins, whatever they are now.
///
/// Why it may be done piece by piece, with devices at work in between: a freeze makes the counts of its piece what the
/// held pins ask for, and from then on every pin and unpin adds and takes away exactly its own. Who holds what is read
/// anew in each freeze. A device that dies later leaves its own pin torn, and that is its recovery's.
extension CountedCover {
    /// Counts anew what the first piece of a range's words has, in a freeze; returns the rest of the range.
    func recount(
        _ range: PageRange, in arena: Arena, until deadline: Deadline
    ) throws(RecoveryRefusal) -> PageRange? {
        guard Self.isPagewise else {
            try recountWords(of: range, in: arena, until: deadline)
            return nil
        }
        let end = min((range.lower / Recount.pages + 1) * Recount.pages, range.upper)
        try recountPages(
            PageRange(start: range.lower, count: end - range.lower), in: arena, until: deadline)
        return end == range.upper ? nil : PageRange(start: end, count: range.upper - end)
    }

    /// Where the words of a range are those of its pages, one after the other: one sweep over the pages, and how many pins
    /// a page is under changes only where one of them begins or ends. So it takes as long as the piece is large, and as
    /// there are pins to read; how they overlap does not matter.
    private func recountPages(
        _ piece: PageRange, in arena: Arena, until deadline: Deadline
    ) throws(RecoveryRefusal) {
        let depth = PinDepth(piece)
        try arena.whileFrozen(until: deadline) { () throws(RecoveryRefusal) in
            try arena.forEachHeldPin(until: deadline) { pin in
                guard let part = pin.intersection(piece) else { return }
                depth.add(extent(of: part))
            }
            var current: UnsafeMutablePointer<Atomic<UInt64>>?
            var counts: UInt64 = 0
            depth.forEachRun { run, pins in
                _ = forEachWord(run) { counted in
                    // Pages of several runs may share a word.
                    if counted.word != current {
                        if let current { correct(current, to: counts) }
                        (current, counts) = (counted.word, 0)
                    }
                    counts &+= counted.addend &* pins
                    return true
                }
            }
            if let current { correct(current, to: counts) }
        }
    }

    /// Where a range has few words, however long it is: all of them in one freeze, and a look at each held pin's words
    /// for one of them.
    private func recountWords(
        of range: PageRange, in arena: Arena, until deadline: Deadline
    ) throws(RecoveryRefusal) {
        var words = WordCounts()
        _ = forEachWord(range) { counted in
            words.append(counted.word)
            return true
        }
        words.sort()
        try arena.whileFrozen(until: deadline) { () throws(RecoveryRefusal) in
            try arena.forEachHeldPin(until: deadline) { pin in
                _ = forEachWord(pin) { counted in
                    words.add(counted)
                    return true
                }
            }
            for (word, counts) in words.all { correct(word, to: counts) }
        }
    }

    /// One addition, so that a conversion sees the old counts or the new ones. Nothing else changes counts meanwhile.
    private func correct(_ word: UnsafeMutablePointer<Atomic<UInt64>>, to counts: UInt64) {
        let now = word.pointee.load(ordering: .acquiring) & Self.countBits
        guard now != counts else { return }
        word.pointee.wrappingAdd(counts &- now, ordering: .acquiringAndReleasing)
    }
}

/// How many pins each page of a range is under.
private struct PinDepth: ~Copyable {
    private let range: PageRange
    /// By how much the depth changes from the page before; one more at the end. No buffer: Swift 6.3 does not compile `+=`
    /// on an element of one here where threads are sanitized.
    private let changes: UnsafeMutablePointer<Int32>

    init(_ range: PageRange) {
        self.range = range
        changes = .allocate(capacity: Int(range.count.rawValue) + 1)
        changes.initialize(repeating: 0, count: Int(range.count.rawValue) + 1)
    }

    deinit { changes.deallocate() }

    /// A pin of part of the range.
    func add(_ part: PageRange) {
        changes[Int(part.lower - range.lower)] += 1
        changes[Int(part.upper - range.lower)] -= 1
    }

    /// Calls `body` with the longest runs of pages that are all under as many pins, in order.
    func forEachRun(_ body: (PageRange, _ pins: UInt64) -> Void) {
        let count = Int(range.count.rawValue)
        var start = 0
        var pins: Int32 = 0
        while start < count {
            pins += changes[start]
            var end = start + 1
            while end < count, changes[end] == 0 { end += 1 }
            body(
                PageRange(start: range.lower + UInt64(start), count: UInt64(end - start)),
                UInt64(pins))
            start = end
        }
    }
}

/// What some words are to count.
private struct WordCounts {
    /// Sorted by word, once all are there.
    private(set) var all: [(word: UnsafeMutablePointer<Atomic<UInt64>>, counts: UInt64)] = []

    mutating func append(_ word: UnsafeMutablePointer<Atomic<UInt64>>) { all.append((word, 0)) }
    mutating func sort() { all.sort { $0.word < $1.word } }

    /// Counts a pin in, if the word is one of these.
    @inline(__always)
    mutating func add(_ counted: CountedWord) {
        var low = 0
        var high = all.count
        while low < high {
            let middle = (low + high) / 2
            if all[middle].word < counted.word { low = middle + 1 } else { high = middle }
        }
        guard low < all.count, all[low].word == counted.word else { return }
        all[low].counts &+= counted.addend
    }
}
