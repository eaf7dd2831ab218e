import GuestMemory
import Linux
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
struct CountedPins<Cover: CountedCover> {
    let cover: Cover
    let journal: JournalWriter
    let coordination: Coordination
    let pages: PageCount
    private let arena: Arena

    init(_ cover: Cover, arena: Arena, device: DeviceID) {
        self.cover = cover
        self.arena = arena
        journal = JournalWriter(arena.journal(of: device), arena.coordination)
        coordination = arena.coordination
        pages = arena.pages
    }
}

extension CountedPins {
    @inline(__always)
    func pin(_ range: PageRange) throws(PinRefusal) -> Pin {
        guard range.upper <= pages.rawValue else {
            throw .outOfRange(GFN(max(range.lower, pages.rawValue)))
        }
        let pin = try journal.begin(range)
        var done = 0
        var refusing: (counted: CountedWord, old: UInt64)?
        let succeeded = cover.forEachWord(range) { counted in
            let old = counted.word.pointee.wrappingAdd(counted.addend, ordering: .acquiring)
                .oldValue
            if old & counted.flags == counted.open {
                done &+= 1
                return true
            }
            // This word may be another one by the time the range is walked again: it is undone here.
            counted.word.pointee.wrappingSubtract(
                counted.addend, ordering: .sequentiallyConsistent)
            refusing = (counted, old)
            return false
        }
        guard succeeded else { throw refuse(pin, done: done, refusing!) }
        journal.hold(pin)
        return pin
    }

    /// A count may be full with pins that go without an unpin, under way or left torn by a device that has died: then
    /// the pin may be tried again. Only where held pins have filled it, it is one too many.
    @inline(never)
    private func refuse(
        _ pin: Pin, done: Int, _ refusing: (counted: CountedWord, old: UInt64)
    ) -> PinRefusal {
        if done > 0 { cover.release(pin.range, words: done, coordination) }
        coordination.announceUnpin()
        journal.end(pin)
        let (counted, old) = refusing
        let full = counted.flags & Cover.guardBits
        if let closed = cover.whatCloses(pin.range) { return closed }
        let isTooMany =
            old & full != 0 && cover.heldCounts(on: counted.word, arena) & full != 0
        return isTooMany ? .tooManyPins(pin.range.start) : .converting(pin.range.start)
    }

    @inline(__always)
    func unpin(_ pin: Pin) {
        journal.beginRelease(pin)
        cover.release(pin.range, words: .max, coordination)
        journal.end(pin)
    }
}

extension CountedCover {
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

    /// Takes the range's first `words` counts back, and wakes who waits for it.
    @inline(__always)
    func release(_ range: PageRange, words: Int, _ coordination: Coordination) {
        var left = words
        _ = forEachWord(range) { counted in
            counted.word.pointee.wrappingSubtract(counted.addend, ordering: .sequentiallyConsistent)
            left &-= 1
            return left != 0
        }
        coordination.announceUnpin()
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
