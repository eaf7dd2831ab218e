import DmaLinux
import GuestMemory
import Testing

@testable import PinLock

/// What a pin is told that meets a full count: whether it has come for good, or for the moment.
@Suite struct FullCountTests {
    private let holder = DeviceID(1)
    private let passer = DeviceID(2)

    /// Counting strategies of whose pins an arena can hold as many as fill a count.
    static let fillable = CountingCandidate.all.filter { capacity($0.type) < 4 * Journal.capacity }

    private static func capacity<Strategy: CountingStrategy>(_: Strategy.Type) -> Int {
        1 << Strategy.Cover.guardBits.trailingZeroBitCount
    }

    /// So many pins of page 5, or of a range, as fill its count but for `room`, held; and who pins beside them.
    private func make<Strategy: CountingStrategy>(
        _: Strategy.Type, room: Int, pinning held: PageRange = page(5), sharing: PageRange...
    ) throws -> (strategy: Strategy, pins: CountedPins<Strategy.Cover>) {
        let strategy = try PinLockTests.make(Strategy.self, pages: 16)
        for range in sharing { try strategy.convert(range, to: .shared) }
        for _ in 0..<Self.capacity(Strategy.self) - room {
            strategy.tear(.held, held, of: holder)
        }
        let cover = Strategy.cover(strategy.arena)
        return (strategy, CountedPins(cover, arena: strategy.arena, device: DeviceID(0)))
    }

    private func refusal(
        of range: PageRange, by pins: CountedPins<some CountedCover>
    ) -> PinRefusal? {
        do throws(PinRefusal) {
            pins.unpin(try pins.pin(range))
            return nil
        } catch {
            return error
        }
    }

    /// The last place is taken by a pin that is about to go, or was left torn: it will be free without an unpin.
    @Test(arguments: fillable, [Journal.State.intent, .releasing])
    func whatPassesFillsNothing(_ candidate: CountingCandidate, _ state: Journal.State) throws {
        func check<Strategy: CountingStrategy>(_: Strategy.Type) throws {
            let (strategy, pins) = try make(Strategy.self, room: 1, sharing: range(0..<16))
            strategy.tear(Tear(state: state, counted: 0..<1), page(5), of: passer)
            #expect(refusal(of: page(5), by: pins) == .converting(GFN(5)))
            #expect(refusal(of: range(5..<9), by: pins) == .converting(GFN(5)))
            #expect(try strategy.recover(passer, until: .now) == 1)
            #expect(refusal(of: page(5), by: pins) == nil)
        }
        try check(candidate.type)
    }

    @Test(arguments: fillable)
    func heldPinsFillIt(_ candidate: CountingCandidate) throws {
        func check<Strategy: CountingStrategy>(_: Strategy.Type) throws {
            let (strategy, pins) = try make(Strategy.self, room: 0, sharing: range(0..<16))
            #expect(refusal(of: page(5), by: pins) == .tooManyPins(GFN(5)))
            // Whether or not another passes.
            strategy.tear(Tear(state: .intent, counted: 0..<1), page(5), of: passer)
            #expect(refusal(of: page(5), by: pins) == .tooManyPins(GFN(5)))
            #expect(refusal(of: page(4), by: pins) == nil)
        }
        try check(candidate.type)
    }

    /// What is closed is said first, in the same word or in another: a full count may be another one by the time that
    /// the page is open.
    @Test(arguments: fillable, [UInt64(4), 6, 12])
    func closedPagesAreSaidFirst(_ candidate: CountingCandidate, closed: UInt64) throws {
        let pinned = range(min(closed, 5)..<max(closed, 5) + 2)
        func check<Strategy: CountingStrategy>(_: Strategy.Type) throws {
            let (strategy, pins) = try make(
                Strategy.self, room: 0, sharing: range(0..<closed), range(closed + 1..<16))
            #expect(refusal(of: pinned, by: pins) == .privatePage(GFN(closed)))
            try strategy.convert(page(closed), to: .shared)
            try strategy.arena.table.claim(page(closed), leaving: .shared)
            try strategy.close(page(closed))
            #expect(refusal(of: pinned, by: pins) == .converting(GFN(closed)))
        }
        try check(candidate.type)
    }

    /// Of pins of several words each counts, and of the lowest lane of a word no more than there are.
    @Test(arguments: fillable)
    func wherePinsCount(_ candidate: CountingCandidate) throws {
        func check<Strategy: CountingStrategy>(_: Strategy.Type) throws {
            let (strategy, pins) = try make(
                Strategy.self, room: 0, pinning: range(3..<6), sharing: range(0..<16))
            #expect(refusal(of: page(5), by: pins) == .tooManyPins(GFN(5)))
            #expect(try strategy.audit() == nil)

            let (other, others) = try make(
                Strategy.self, room: 1, pinning: page(8), sharing: range(0..<16))
            other.tear(Tear(state: .intent, counted: 0..<1), page(8), of: passer)
            #expect(refusal(of: page(8), by: others) == .converting(GFN(8)))
        }
        try check(candidate.type)
    }

    /// Ranges that overlap may fill it, and then no wait helps.
    @Test(arguments: fillable, [page(5), range(3..<6)])
    func aListFillsItItself(_ candidate: CountingCandidate, first: PageRange) throws {
        func check<Strategy: CountingStrategy>(_: Strategy.Type) throws {
            let (strategy, pins) = try make(Strategy.self, room: 1, sharing: range(0..<16))
            #expect(throws: PinRefusal.tooManyPins(GFN(5))) {
                try pins.pin([first, page(5)].span)
            }
            #expect(try strategy.audit() == nil)
            #expect(refusal(of: page(5), by: pins) == nil)
        }
        try check(candidate.type)
    }

    /// A count of nobody's is found, and a pin without one.
    @Test(arguments: CountingCandidate.all)
    func theAuditSeesCountsThatDoNotAgree(_ candidate: CountingCandidate) throws {
        func check<Strategy: CountingStrategy>(_: Strategy.Type) throws {
            for tear in [
                Tear(state: .intent, counted: 0..<1), Tear(state: .held, counted: 0..<0),
            ] {
                let strategy = try PinLockTests.make(
                    Strategy.self, pages: 16, sharing: range(0..<16))
                #expect(try strategy.audit() == nil)
                strategy.tear(tear, page(8), of: passer)
                #expect(try strategy.audit() != nil)
            }
        }
        try check(candidate.type)
    }
}
