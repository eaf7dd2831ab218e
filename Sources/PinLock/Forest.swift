import DmaLinux
import GuestMemory
import Synchronization

/// A counted tree per GiB of guest memory, and one above them for pins of several whole GiBs.
///
/// A GiB's tree has nine levels: its root's four lanes are 256 MiB each, its leaves pages. Each tree starts on cache
/// lines of its own, so pins in different GiBs share none; a pin of one whole GiB is one addition to that tree's
/// root. A leaf of the upper tree is a whole GiB, open while the GiB's tree is; pins of two or more whole GiBs
/// count there, so a pin of 16 TiB stays logarithmic.
///
/// The leaves of all GiBs' trees follow one another, so that of a single page the word is found by a shift.
///
/// Section layout: the upper tree, the GiBs' trees without their leaves, the leaves; each tree as
///
///     converter lock, alone on a line | 7 words unused | root | the other words
struct Forest {
    static let treeDepth: UInt64 = 9
    private static let rootOffset = 15 * 8

    private let base: UnsafeMutableRawPointer
    private let gibs: UInt64
    private let upper: CountedTree
    private let treesOffset: Int
    /// The word of every four pages.
    private let leaves: UnsafeMutablePointer<Atomic<UInt64>>

    /// Bytes of a tree of so many words, with its lock, in whole cache lines.
    @inline(__always)
    private static func stride(words: UInt64) -> Int { (rootOffset + Int(words) * 8 + 63) & ~63 }

    private static let treeStride = stride(words: CountedTree.wordCount(depth: treeDepth - 1))
    private static let leavesPerGiB = pagesPerGiB / 4

    private static func gibCount(_ pages: PageCount) -> UInt64 {
        (pages.rawValue + pagesPerGiB - 1) / pagesPerGiB
    }

    private static func upperDepth(gibs: UInt64) -> UInt64 {
        var depth: UInt64 = 1
        while 1 << (2 * depth) < gibs { depth += 1 }
        return depth
    }

    private static func treesOffset(gibs: UInt64) -> Int {
        stride(words: CountedTree.wordCount(depth: upperDepth(gibs: gibs)))
    }

    private static func leavesOffset(gibs: UInt64) -> Int {
        treesOffset(gibs: gibs) + Int(gibs) * treeStride
    }

    static func byteCount(pages: PageCount) -> Int {
        let gibs = gibCount(pages)
        return leavesOffset(gibs: gibs) + Int(gibs * leavesPerGiB) * 8
    }

    init(at base: UnsafeMutableRawPointer, pages: PageCount) {
        self.base = base
        gibs = Self.gibCount(pages)
        let depth = Self.upperDepth(gibs: gibs)
        let root = (base + Self.rootOffset).assumingMemoryBound(to: Atomic<UInt64>.self)
        upper = CountedTree(
            root: root, leaves: root + Int(CountedTree.wordCount(depth: depth - 1)), depth: depth)
        treesOffset = Self.treesOffset(gibs: gibs)
        leaves = (base + Self.leavesOffset(gibs: gibs)).assumingMemoryBound(
            to: Atomic<UInt64>.self)
    }

    @inline(__always)
    private func offset(of gib: UInt64) -> Int {
        treesOffset &+ Int(gib) &* Self.treeStride
    }

    @inline(__always)
    private func root(of gib: UInt64) -> UnsafeMutablePointer<Atomic<UInt64>> {
        (base + (offset(of: gib) &+ Self.rootOffset)).assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    @inline(__always)
    private func tree(of gib: UInt64) -> CountedTree {
        CountedTree(
            root: root(of: gib), leaves: leaves + Int(gib &* Self.leavesPerGiB),
            depth: Self.treeDepth)
    }

    private var upperLock: ConverterLock { ConverterLock(at: base) }
    private func lock(of gib: UInt64) -> ConverterLock { ConverterLock(at: base + offset(of: gib)) }

    /// The part of the range in each GiB, as leaf lanes of its tree.
    private func forEachGiB(
        _ range: PageRange, _ body: (_ gib: UInt64, _ start: UInt64, _ end: UInt64) -> Bool
    ) {
        var page = range.lower
        while page < range.upper {
            let gib = page / pagesPerGiB
            let next = min((gib + 1) * pagesPerGiB, range.upper)
            guard body(gib, page - gib * pagesPerGiB, next - gib * pagesPerGiB) else { return }
            page = next
        }
    }
}

// A pointer to atomics in the arena, whose mapping the arena keeps.
extension Forest: @unchecked Sendable {}

// MARK: Pins

extension Forest {
    /// The canonical cover of the range: one word for an aligned GiB, at most two per level otherwise.
    @inline(__always)
    func forEachWord(_ range: PageRange, _ body: (CountedWord) -> Bool) -> Bool {
        if let sole = soleWord(of: range) { return body(sole) }
        var page = range.lower
        let upper = range.upper
        while page < upper {
            let gib = page &>> 18
            let inside = page & (pagesPerGiB &- 1)
            let counted: CountedTree
            let start: UInt64
            let end: UInt64
            if inside == 0, upper &- page >= 2 &* pagesPerGiB {
                (counted, start, end) = (self.upper, gib, upper &>> 18)
                page = end &<< 18
            } else {
                let next = min((gib &+ 1) &<< 18, upper)
                (counted, start, end) = (tree(of: gib), inside, next &- (gib &<< 18))
                page = next
            }
            guard counted.forEachWord(start, end, body) else { return false }
        }
        return true
    }

    /// The range's only word, if it has but one that is found at once: among the leaves, or the root of an aligned GiB.
    @inline(__always)
    func soleWord(of range: PageRange) -> CountedWord? {
        if range.count.rawValue == 1 {
            let lane = range.lower & 3
            return word(of: range.lower, lanes: 1 &<< (lane &<< 4))
        }
        if let leaves = leaves(of: range) { return leaves }
        guard let root = root(spanning: range) else { return nil }
        let lanes = CountedTree.Lanes.self
        return CountedWord(
            word: root, addend: lanes.ones, flags: lanes.open | lanes.countGuard, open: lanes.open)
    }

    /// The word of a range of up to three pages whose lanes are side by side among the leaves: all of its cover.
    @inline(__always)
    private func leaves(of range: PageRange) -> CountedWord? {
        let first = range.lower & 3
        let end = first &+ range.count.rawValue
        guard range.count.rawValue < 4, end <= 4 else { return nil }
        return word(of: range.lower, lanes: CountedTree.Lanes.ones(first, end))
    }

    @inline(__always)
    private func word(of page: UInt64, lanes: UInt64) -> CountedWord {
        CountedWord(
            word: leaves + Int(page &>> 2), addend: lanes, flags: lanes &<< 15 | lanes &<< 14,
            open: lanes &<< 15)
    }

    /// The root that speaks for the whole range, where that is one aligned GiB.
    @inline(__always)
    func root(spanning range: PageRange) -> UnsafeMutablePointer<Atomic<UInt64>>? {
        guard range.count.rawValue == pagesPerGiB, range.lower & (pagesPerGiB &- 1) == 0 else {
            return nil
        }
        return root(of: range.lower &>> 18)
    }

    /// Whether every page of the range is open, read with sequential consistency: of up to five pages their leaves, which
    /// lie in two words at most, else the words that a counted pin would add to.
    @inline(__always)
    func isOpen(_ range: PageRange) -> Bool {
        let count = range.count.rawValue
        if count == 1 { return isOpen(page: range.lower) }
        guard count <= 5 else { return isEveryWordOpen(range) }
        let first = range.lower &>> 2
        let last = (range.upper &- 1) &>> 2
        let fromFirst = CountedTree.Lanes.open &<< ((range.lower & 3) &<< 4)
        let toLast = CountedTree.Lanes.open &>> ((3 &- (range.upper &- 1) & 3) &<< 4)
        let common = fromFirst & toLast
        return isOpen(first, first == last ? common : fromFirst)
            && isOpen(last, first == last ? common : toLast)
    }

    @inline(__always)
    static func isOpen(_ counted: CountedWord) -> Bool {
        counted.word.pointee.load(ordering: .sequentiallyConsistent) & counted.open == counted.open
    }

    /// Whether these open bits are set in the leaves' word of that index.
    @inline(__always)
    private func isOpen(_ index: UInt64, _ open: UInt64) -> Bool {
        leaves[Int(index)].load(ordering: .sequentiallyConsistent) & open == open
    }

    /// The same of a page: its leaf.
    @inline(__always)
    private func isOpen(page: UInt64) -> Bool {
        let lanes = leaves[Int(page &>> 2)].load(ordering: .sequentiallyConsistent)
        return lanes &>> ((page & 3) &<< 4) & 0x8000 != 0
    }

    @inline(never)
    func isEveryWordOpen(_ range: PageRange) -> Bool { forEachWord(range, Self.isOpen) }

    /// The lowest closed page. GiBs that are wholly open are skipped in the upper tree, all but the first.
    func firstClosed(in range: PageRange) -> GFN? {
        var page = range.lower
        while page < range.upper {
            let gib = page / pagesPerGiB
            let base = gib * pagesPerGiB
            let next = min(base + pagesPerGiB, range.upper)
            if let leaf = tree(of: gib).firstClosed(page - base, next - base) {
                return GFN(base + leaf)
            }
            let behind = (range.upper + pagesPerGiB - 1) / pagesPerGiB
            page = (upper.firstClosed(gib + 1, behind) ?? behind) * pagesPerGiB
        }
        return nil
    }
}

// MARK: Conversions

extension Forest {
    func close(_ range: PageRange) {
        forEachGiB(range) { gib, start, end in
            lock(of: gib).withLock {
                // The upper lane of a GiB is open exactly while its tree wholly is.
                guard tree(of: gib).close(start, end) else { return }
                upperLock.withLock { _ = upper.close(gib, gib + 1) }
            }
            return true
        }
    }

    func open(_ range: PageRange) {
        forEachGiB(range) { gib, start, end in
            lock(of: gib).withLock {
                guard tree(of: gib).open(start, end) else { return }
                upperLock.withLock { _ = upper.open(gib, gib + 1) }
            }
            return true
        }
    }

    /// The lowest pinned page, once the range is closed. All counts on the path of each page are looked at, those
    /// above its GiB too, also where a lane was closed before.
    func firstPinned(in range: PageRange) -> GFN? {
        var lowest: GFN?
        forEachGiB(range) { gib, start, end in
            let base = gib * pagesPerGiB
            let below = tree(of: gib).firstPinned(start, end).map { GFN(base + $0) }
            let above = upper.firstPinned(gib, gib + 1).map { _ in GFN(base + start) }
            lowest = [below, above].compactMap { $0 }.min()
            return lowest == nil
        }
        return lowest
    }

    // MARK: Audit

    /// Calls `body` with every GiB some of whose table entries have ever been touched.
    func forEachTouchedGiB(
        _ arena: Arena, _ body: (UInt64) throws(SystemError) -> Void
    ) throws(SystemError) {
        var next: UInt64 = 0
        try arena.forEachTouchedPageRange { (pages) throws(SystemError) in
            let last = (pages.upperBound - 1) / pagesPerGiB
            for gib in max(next, pages.lowerBound / pagesPerGiB)..<max(next, last + 1) {
                try body(gib)
            }
            next = max(next, last + 1)
        }
    }

    func forEachTouchedWord(
        _ arena: Arena, _ body: (UnsafeMutablePointer<Atomic<UInt64>>) throws(SystemError) -> Void
    ) throws(SystemError) {
        for index in 0..<CountedTree.wordCount(depth: upper.depth) {
            try body(upper.word(index))
        }
        try forEachTouchedGiB(arena) { (gib) throws(SystemError) in
            let tree = tree(of: gib)
            for index in 0..<CountedTree.wordCount(depth: Self.treeDepth) {
                try body(tree.word(index))
            }
        }
    }

    /// The first lane that is not what the table, or the lanes below, make it, in words.
    func auditOpenLanes(_ arena: Arena) throws(SystemError) -> String? {
        var complaint = upper.auditInnerLanes()
        try arena.forEachTouchedPageRange { (pages) throws(SystemError) in
            for page in pages where complaint == nil {
                let isClosed = firstClosed(in: PageRange(start: page, count: 1)) != nil
                if isClosed == arena.table.isOpen(GFN(page)) {
                    complaint =
                        "\(GFN(page)) is \(isClosed ? "closed" : "open") in the tree, not in the table"
                }
            }
        }
        try forEachTouchedGiB(arena) { (gib) throws(SystemError) in
            complaint = complaint ?? tree(of: gib).auditInnerLanes().map { "GiB \(gib): \($0)" }
            let isOpen = tree(of: gib).firstClosed(0, pagesPerGiB) == nil
            if complaint == nil, isOpen != (upper.firstClosed(gib, gib + 1) == nil) {
                complaint = "GiB \(gib) is \(isOpen ? "open" : "closed"), its upper lane is not"
            }
        }
        return complaint
    }
}
