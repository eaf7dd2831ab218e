import GuestMemory
import Synchronization

/// One tree of counters: a heap of 64-bit words, each with four lanes of 16 bits, one per child.
///
///     15    14     13…0
///     open  guard  pins
///
/// `open` says that everything below the lane is open (so zero is closed, as untouched memory must be); `pins` counts
/// pins of exactly that node; `guard` is set by the count that fills the lane, 16,384, far below the neighbour.
/// The children of word *i* are words *4i+1 … 4i+4*, so a level's words follow one another, and no table is needed.
struct CountedTree {
    enum Lanes {
        static let ones: UInt64 = 0x0001_0001_0001_0001
        static let open: UInt64 = ones << 15
        static let countGuard: UInt64 = ones << 14
        static let pins: UInt64 = open - ones  // bits 0…14 of each lane, the guard among them

        /// A one in each of the lanes `first ..< end`, which are at least one.
        @inline(__always)
        static func ones(_ first: UInt64, _ end: UInt64) -> UInt64 {
            (ones >> ((4 &- (end &- first)) &<< 4)) &<< (first &<< 4)
        }
    }

    /// The root; all words but the leaves follow.
    let root: UnsafeMutablePointer<Atomic<UInt64>>
    /// The words of the lowest level.
    let leaves: UnsafeMutablePointer<Atomic<UInt64>>
    /// Levels of words: the tree has 4^depth leaf lanes.
    let depth: UInt64

    static func wordCount(depth: UInt64) -> UInt64 { ((1 << (2 * depth)) - 1) / 3 }

    @inline(__always)
    private var firstLeafWord: UInt64 { ((1 &<< (2 &* (depth &- 1))) &- 1) / 3 }

    @inline(__always)
    func word(_ index: UInt64) -> UnsafeMutablePointer<Atomic<UInt64>> {
        index < firstLeafWord ? root + Int(index) : leaves + Int(index &- firstLeafWord)
    }

    /// The canonical cover of the leaf lanes `start ..< end`: at most two words per level, each lane once.
    @inline(__always)
    func forEachWord(_ start: UInt64, _ end: UInt64, _ body: (CountedWord) -> Bool) -> Bool {
        // Below the level where both ends are aligned, nothing of the cover lies.
        let skipped = min(UInt64((start | end).trailingZeroBitCount) &>> 1, depth &- 1)
        var start = start &>> (2 &* skipped)
        var end = end &>> (2 &* skipped)
        var level = ((UInt64(1) &<< (2 &* (depth &- 1 &- skipped))) &- 1) / 3
        while true {
            let first = start &>> 2
            let last = (end &- 1) &>> 2
            if first == last, level == 0 || (start | end) & 3 != 0 {
                return visit(level &+ first, start & 3, ((end &- 1) & 3) &+ 1, body)
            }
            if start & 3 != 0 {
                guard visit(level &+ first, start & 3, 4, body) else { return false }
                start = (first &+ 1) &<< 2
            }
            if end & 3 != 0 {
                guard visit(level &+ (end &>> 2), 0, end & 3, body) else { return false }
                end = end & ~3
            }
            if start >= end { return true }
            start &>>= 2
            end &>>= 2
            level = (level &- 1) &>> 2
        }
    }

    @inline(__always)
    private func visit(
        _ index: UInt64, _ first: UInt64, _ end: UInt64, _ body: (CountedWord) -> Bool
    ) -> Bool {
        let lanes = Lanes.ones(first, end)
        return body(
            CountedWord(
                word: word(index), addend: lanes, flags: lanes &<< 15 | lanes &<< 14,
                open: lanes &<< 15))
    }
}

// A pointer to atomics in the arena, whose mapping the arena keeps.
extension CountedTree: @unchecked Sendable {}

// MARK: Opening and closing, under the tree's converter lock

extension CountedTree {
    /// Calls `body` for every word that meets the leaf lanes `start ..< end`, leaves first, with its level above the
    /// leaves, the lanes that meet the range, and the first of them among its level's.
    private func forEachLevel(
        _ start: UInt64, _ end: UInt64,
        _ body: (_ index: UInt64, _ level: UInt64, _ lanes: UInt64, _ firstLane: UInt64) -> Void
    ) {
        var (start, end) = (start, end)
        var offset = firstLeafWord
        for level in 0..<depth {
            for position in (start >> 2)...((end - 1) >> 2) {
                let first = max(start, position << 2)
                let past = min(end, (position + 1) << 2)
                body(offset + position, level, Lanes.ones(first & 3, ((past - 1) & 3) + 1), first)
            }
            start >>= 2
            end = ((end - 1) >> 2) + 1
            offset = offset == 0 ? 0 : (offset - 1) >> 2
        }
    }

    /// Closes the leaf lanes and everything above them. Returns whether the whole tree was open before.
    func close(_ start: UInt64, _ end: UInt64) -> Bool {
        var root: UInt64 = 0
        forEachLevel(start, end) { index, _, lanes, _ in
            root =
                word(index).pointee.bitwiseAnd(~(lanes << 15), ordering: .acquiringAndReleasing)
                .oldValue
        }
        return root & Lanes.open == Lanes.open
    }

    /// Opens the leaf lanes, and above them what has nothing closed below. Returns whether the whole tree is open now.
    ///
    /// A lane above is never put back as it was: it is worked out from its children, since another converter may
    /// have closed one of them meanwhile.
    func open(_ start: UInt64, _ end: UInt64) -> Bool {
        var offset = firstLeafWord
        var (start, end) = (start, end)
        for level in 0..<depth {
            var opened = false
            for position in (start >> 2)...((end - 1) >> 2) {
                let first = max(start, position << 2)
                let past = min(end, (position + 1) << 2)
                var lanes: UInt64 = 0
                for lane in first..<past where level == 0 || isWhollyOpen(offset * 4 + 1 + lane) {
                    lanes |= Lanes.ones(lane & 3, (lane & 3) + 1)
                }
                guard lanes != 0 else { continue }
                word(offset + position).pointee.bitwiseOr(
                    lanes << 15, ordering: .acquiringAndReleasing)
                opened = true
            }
            guard opened else { return false }
            start >>= 2
            end = ((end - 1) >> 2) + 1
            offset = offset == 0 ? 0 : (offset - 1) >> 2
        }
        return isWhollyOpen(0)
    }

    private func isWhollyOpen(_ index: UInt64) -> Bool {
        word(index).pointee.load(ordering: .acquiring) & Lanes.open == Lanes.open
    }
}

// MARK: Looking

extension CountedTree {
    /// The lowest leaf lane of `start ..< end` that a pin holds, at whatever level.
    func firstPinned(_ start: UInt64, _ end: UInt64) -> UInt64? {
        var lowest: UInt64?
        forEachLevel(start, end) { index, level, lanes, firstLane in
            let counts =
                word(index).pointee.load(ordering: .sequentiallyConsistent) & (lanes &* 0x7fff)
            guard counts != 0 else { return }
            // The lanes of a word that meet the range follow one another from `firstLane`.
            let lane = (firstLane & ~3) + UInt64(counts.trailingZeroBitCount) / 16
            let leaf = max(lane << (2 * level), start)
            lowest = min(lowest ?? leaf, leaf)
        }
        return lowest
    }

    /// The lowest leaf lane of `start ..< end` that is closed.
    func firstClosed(_ start: UInt64, _ end: UInt64) -> UInt64? {
        var leaf = start
        while leaf < end {
            // Skip the largest open node around it.
            var skipped: UInt64?
            var offset = firstLeafWord
            for level in 0..<depth {
                let lane = leaf >> (2 * level)
                let word = word(offset + (lane >> 2)).pointee.load(ordering: .acquiring)
                guard word & (Lanes.ones(lane & 3, (lane & 3) + 1) << 15) != 0 else { break }
                skipped = (lane + 1) << (2 * level)
                offset = offset == 0 ? 0 : (offset - 1) >> 2
            }
            guard let skipped else { return leaf }
            leaf = skipped
        }
        return nil
    }

    /// The first inner lane whose `open` is not that of its children, in words.
    func auditInnerLanes() -> String? {
        for index in 0..<Self.wordCount(depth: depth - 1) {
            for lane in 0..<UInt64(4) {
                let isOpen =
                    word(index).pointee.load(ordering: .relaxed)
                    & (Lanes.ones(lane, lane + 1) << 15) != 0
                if isOpen != isWhollyOpen(4 * index + 1 + lane) {
                    return
                        "lane \(lane) of tree word \(index) is \(isOpen ? "open" : "closed"), its children are not"
                }
            }
        }
        return nil
    }
}
