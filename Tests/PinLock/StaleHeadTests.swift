import DmaLinux
import GuestMemory
import Synchronization
import Testing

@testable import PinLock

/// With 2 MiB entries, a pin finds the entry that speaks for its page and counts there: two steps.
@Suite struct StaleHeadTests {
    private let strategy: PerPage

    init() throws {
        strategy = try make(PerPage.self, pages: 1024, entrySize: .large, sharing: range(0..<1024))
    }

    /// Between the two a conversion splits the entry: then the head counts for itself alone.
    @Test(arguments: [page(7), range(5..<9), range(500..<600)])
    func aPinOnAHeadThatWasSplitMeanwhileIsRefused(range: PageRange) throws {
        let hasSplit = Counter()
        let strategy = strategy
        let cover = Meddling(original: EntryCover(arena: strategy.arena)) {
            guard hasSplit.value == 0 else { return }
            hasSplit.add(1)
            #expect(strategy.refusalOfConversion(page(3), to: .private) == nil)
        }
        let pins = CountedPins(cover, arena: strategy.arena, device: DeviceID(0))
        #expect(throws: PinRefusal.converting(range.start)) { try pins.pin(range) }
        #expect(try strategy.audit() == nil)

        // Its own entries speak for the pages now.
        let pin = try pins.pin(range)
        #expect(strategy.refusalOfConversion(page(0), to: .private) == nil)
        #expect(
            strategy.refusalOfConversion(page(range.lower), to: .private) == .pinned(range.start))
        pins.unpin(pin)
        #expect(try strategy.audit() == nil)
    }
}

/// The entries of a range, and something that happens before a pin counts on each.
private struct Meddling: CountedCover {
    static let countBits = EntryCover.countBits
    static let guardBits = EntryCover.guardBits
    static let isPagewise = EntryCover.isPagewise

    let original: EntryCover
    let before: @Sendable () -> Void

    func forEachWord(_ range: PageRange, _ body: (CountedWord) -> Bool) -> Bool {
        original.forEachWord(range) { counted in
            before()
            return body(counted)
        }
    }

    func whatCloses(_ range: PageRange) -> PinRefusal? { original.whatCloses(range) }
    func pages(of word: UnsafeMutablePointer<Atomic<UInt64>>) -> PageRange {
        original.pages(of: word)
    }
    func reach(of range: PageRange) -> PageRange { original.reach(of: range) }
    func extent(of range: PageRange) -> PageRange { original.extent(of: range) }

    func forEachTouchedWord(
        _ body: (UnsafeMutablePointer<Atomic<UInt64>>) throws(SystemError) -> Void
    ) throws(SystemError) {
        try original.forEachTouchedWord(body)
    }
}
