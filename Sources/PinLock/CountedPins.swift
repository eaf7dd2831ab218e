import DmaLinux
import GuestMemory
import Synchronization

/// Where a strategy counts pins: for every range a sequence of atomic words, each with what to add to it.
///
/// Pins, unpins, undoing and recovery are written once on top of it. The sequence of a range is the same each time
/// it is asked for while the range is pinned.
protocol CountedCover: Sendable {
    /// Which bits of a word count pins, which mark a full count.
    static var countBits: UInt64 { get }
    static var guardBits: UInt64 { get }

    /// Whether the sequence of a range is that of its pages, one after the other.
    static var isPagewise: Bool { get }

    /// Calls `body` with each word in turn, until it returns false; returns whether it never did.
    ///
    /// The word may be pinned where `old & flags == open` of the value before the addition.
    func forEachWord(_ range: PageRange, _ body: (CountedWord) -> Bool) -> Bool

    /// The only word in the sequence of the range, where it has but one that is found at once: most pins are of such, and
    /// short. Nil says nothing.
    func soleWord(of range: PageRange) -> CountedWord?

    /// Why a pin of the range is refused where a page of it is closed: the first such page; nil where all are open.
    func whatCloses(_ range: PageRange) -> PinRefusal?

    /// The pages whose pins count on the word: of a pin's range, nothing but its part in them need be asked for.
    func pages(of word: UnsafeMutablePointer<Atomic<UInt64>>) -> PageRange

    /// The pages whose words a pin of the range may have touched before it was refused, whatever they are now.
    func reach(of range: PageRange) -> PageRange

    /// The pages whose words a held pin of the range counts on. The range itself, but where a word is several pages'.
    func extent(of range: PageRange) -> PageRange

    /// Calls `body` with every word that has ever been touched, and perhaps others.
    func forEachTouchedWord(
        _ body: (UnsafeMutablePointer<Atomic<UInt64>>) throws(SystemError) -> Void
    ) throws(SystemError)
}

struct CountedWord {
    let word: UnsafeMutablePointer<Atomic<UInt64>>
    let addend: UInt64
    let flags: UInt64
    let open: UInt64
}

/// How a device pins by adding to counters.
///
/// Why no page is both pinned and private: a pin adds to a word and sees, in the same atomic step, whether the word
/// was open; a conversion closes every word that a pin of its page could use, and then looks for counts. Either the
/// addition comes first in the word's coherence order, and the conversion sees the count, or the closing does, and
/// the pin sees it closed and undoes itself. Acquire and release are enough: no two words need to agree.
final class CountedPins<Cover: CountedCover> {
    let cover: Cover
    let journal: JournalWriter
    let coordination: Coordination
    let pages: PageCount
    private let arena: Arena

    init(_ cover: Cover, arena: Arena, device: DeviceID) {
        self.cover = cover
        self.arena = arena
        journal = JournalWriter(device, in: arena)
        coordination = arena.coordination
        pages = arena.pages
    }
}

extension CountedPins {
    @inline(__always)
    func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
        ranges.count == 1 ? try pin(ranges[0]) : try pinList(ranges)
    }

    /// One range.
    @inline(__always)
    func pin(_ range: PageRange) throws(PinRefusal) -> Pin {
        guard let counted = cover.soleWord(of: range) else { return try pinWords(of: range) }
        let pin = try journal.begin(range)
        let old = counted.word.pointee.wrappingAdd(counted.addend, ordering: .acquiring).oldValue
        guard old & counted.flags == counted.open else {
            throw undo(range, pin.entry, pin.ticket, counted, old)
        }
        journal.hold(pin)
        return pin
    }

    @inline(never)
    private func pinWords(of range: PageRange) throws(PinRefusal) -> Pin {
        let list: InlineArray<1, PageRange> = [range]
        return try count(list.span, for: try journal.begin(range))
    }

    @inline(never)
    private func pinList(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
        try count(ranges, for: try journal.begin(ranges))
    }

    @inline(__always)
    private func count(_ ranges: Span<PageRange>, for pin: Pin) throws(PinRefusal) -> Pin {
        for index in ranges.indices {
            if let refusal = count(ranges[index]) { throw undo(pin, ranges, index, refusal) }
        }
        journal.hold(pin)
        return pin
    }

    /// A word that refused, what it said, and how many of the range's words had been counted on before.
    private struct Refusal {
        let counted: CountedWord
        let old: UInt64
        let done: Int
    }

    /// Adds to each word of the range, as far as they are open; that which was not is as it was.
    @inline(__always)
    private func count(_ range: PageRange) -> Refusal? {
        var done = 0
        var refusal: Refusal?
        _ = cover.forEachWord(range) { counted in
            let old = counted.word.pointee.wrappingAdd(counted.addend, ordering: .acquiring)
                .oldValue
            if old & counted.flags == counted.open {
                done &+= 1
                return true
            }
            // This word may be another one by the time the range is walked again: it is undone here.
            counted.word.pointee.wrappingSubtract(
                counted.addend, ordering: .sequentiallyConsistent)
            refusal = Refusal(counted: counted, old: old, done: done)
            return false
        }
        return refusal
    }

    /// Takes back what was counted of a pin's only range. It has the pin in parts: whole, a pin that is granted would
    /// have to be in memory.
    @inline(never)
    private func undo(
        _ range: PageRange, _ entry: Int, _ ticket: UInt64, _ counted: CountedWord, _ old: UInt64
    ) -> PinRefusal {
        counted.word.pointee.wrappingSubtract(counted.addend, ordering: .sequentiallyConsistent)
        let pin = Pin(range: range, device: journal.device, entry: entry, ticket: ticket)
        let list: InlineArray<1, PageRange> = [range]
        return undo(pin, list.span, 0, Refusal(counted: counted, old: old, done: 0))
    }

    /// Takes back what was counted of the ranges before `index`, and of that one.
    ///
    /// A count may be full with pins that go without an unpin, under way or left torn by a device that has died: then
    /// the pin may be tried again. Only where held pins have filled it, it is one too many.
    @inline(never)
    private func undo(
        _ pin: Pin, _ ranges: Span<PageRange>, _ index: Int, _ refusal: Refusal
    ) -> PinRefusal {
        if refusal.done > 0 { cover.release(ranges[index], words: refusal.done) }
        for index in 0..<index { cover.release(ranges[index], words: .max) }
        coordination.announceUnpin()
        journal.end(pin)
        for index in ranges.indices {
            if let closed = cover.whatCloses(ranges[index]) { return closed }
        }
        let full = refusal.counted.flags & Cover.guardBits
        let isTooMany =
            refusal.old & full != 0
            && (cover.heldCounts(on: refusal.counted.word, arena)
                &+ counts(of: ranges, before: index, on: refusal.counted.word)) & full != 0
        let start = ranges[index].start
        return isTooMany ? .tooManyPins(start) : .converting(start)
    }

    /// What the list itself counts on the word: ranges that overlap may fill it.
    private func counts(
        of ranges: Span<PageRange>, before index: Int,
        on word: UnsafeMutablePointer<Atomic<UInt64>>
    ) -> UInt64 {
        var counts: UInt64 = 0
        for index in 0..<index {
            _ = cover.forEachWord(ranges[index]) { counted in
                if counted.word == word { counts &+= counted.addend }
                return true
            }
        }
        return counts
    }

    @inline(__always)
    func unpin(_ pin: Pin) {
        journal.beginRelease(pin)
        guard pin.list == Pin.single, let counted = cover.soleWord(of: pin.range) else {
            return endWords(of: pin)
        }
        counted.word.pointee.wrappingSubtract(counted.addend, ordering: .sequentiallyConsistent)
        coordination.announceUnpin()
        journal.end(pin)
    }

    @inline(never)
    private func endWords(of pin: Pin) {
        _ = journal.forEachRange(of: pin) { range in
            cover.release(range, words: .max)
            return true
        }
        coordination.announceUnpin()
        journal.end(pin)
    }
}

extension CountedCover {
    func soleWord(of range: PageRange) -> CountedWord? { nil }
    func reach(of range: PageRange) -> PageRange { range }
    func extent(of range: PageRange) -> PageRange { range }

    /// Why a pin of the range was refused that was not one too many.
    func refusal(of range: PageRange) -> PinRefusal {
        // Opened since, perhaps.
        whatCloses(range) ?? .converting(range.start)
    }

    /// What pins count on the word that are held, all at one time: each is looked at twice.
    func heldCounts(on word: UnsafeMutablePointer<Atomic<UInt64>>, _ arena: Arena) -> UInt64 {
        var counts: UInt64 = 0
        for pin in arena.heldPins(in: pages(of: word)) where pin.isHeld {
            _ = forEachWord(pin.part) { counted in
                if counted.word == word { counts += counted.addend }
                return true
            }
        }
        return counts
    }

    /// Takes the range's first `words` counts back; whoever waits for it has to be told.
    @inline(__always)
    func release(_ range: PageRange, words: Int) {
        var left = words
        _ = forEachWord(range) { counted in
            counted.word.pointee.wrappingSubtract(counted.addend, ordering: .sequentiallyConsistent)
            left &-= 1
            return left != 0
        }
    }
}

extension CountedCover {
    /// The first word whose counts are not those of the pins that the journals call held, in words.
    func auditCounts(_ arena: Arena) throws(SystemError) -> String? {
        var expected: [UnsafeMutablePointer<Atomic<UInt64>>: UInt64] = [:]
        for device in 0..<Arena.deviceCapacity {
            for range in arena.journal(of: DeviceID(device)).heldPins {
                _ = forEachWord(range) { counted in
                    expected[counted.word, default: 0] += counted.addend
                    return true
                }
            }
        }
        var complaint: String?
        try forEachTouchedWord { (word) throws(SystemError) in
            let counts = word.pointee.load(ordering: .relaxed) & Self.countBits
            if counts != 0 || !expected.isEmpty, counts != expected[word, default: 0] {
                complaint =
                    complaint ?? """
                        a word counts 0x\(String(counts, radix: 16)) pins, the journals say \
                        0x\(String(expected[word, default: 0], radix: 16))
                        """
            }
        }
        return complaint
    }
}
