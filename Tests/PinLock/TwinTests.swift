import GuestMemory
import Testing

@testable import PinLock

/// The checks catch what they are there for: each broken twin fails one of those that every strategy passes.
@Suite struct TwinTests {
    // MARK: By the oracle

    private let oracle = Oracle(watching: Set(0..<8))

    /// A device writes page 0, which the guest makes private before the device gives it back.
    private func convertUnderWrite(_ strategy: some PinStrategy) throws {
        let device = strategy.pinner(for: DeviceID(0))
        let pin = try device.pin(page(0))
        oracle.beginWrite(pin.range)
        _ = strategy.refusalOfConversion(page(0), to: .private, hooks: oracle.hooks)
        oracle.endWrite(pin.range)
        device.unpin(pin)
    }

    @Test(arguments: Candidate.safe)
    func theOracleIsSilentWhereAPinHolds(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            try convertUnderWrite(make(Strategy.self, pages: 8, sharing: range(0..<8)))
            #expect(oracle.violations.load(ordering: .relaxed) == 0)
        }
        try check(candidate.type)
    }

    @Test func anEarlyUnpinIsCaught() throws {
        try convertUnderWrite(make(EarlyUnpin.self, pages: 8, sharing: range(0..<8)))
        #expect(oracle.violations.load(ordering: .relaxed) > 0)
    }

    @Test func lookThenPublishIsCaught() throws {
        let strategy = try make(LooksThenPublishes.self, pages: 8, sharing: range(0..<8))
        let device = strategy.pinner(for: DeviceID(0))
        device.betweenLookAndPublishing = { [oracle] in
            #expect(
                strategy.refusalOfConversion(page(3), to: .private, hooks: oracle.hooks) == nil)
        }
        let pin = try device.pin(range(2..<5))
        oracle.beginWrite(pin.range)
        #expect(oracle.violations.load(ordering: .relaxed) > 0)
    }

    @Test func forgettingTheSlotsIsCaught() throws {
        try convertUnderWrite(make(ForgetsTheSlots.self, pages: 8, sharing: range(0..<8)))
        #expect(oracle.violations.load(ordering: .relaxed) > 0)
    }

    // MARK: By the reference

    private func firstDisagreement<Strategy: PinStrategy>(of _: Strategy.Type) throws -> String? {
        for pages in UInt64(1)...6 {
            do {
                var check = ExhaustiveCheck(try make(Strategy.self, pages: pages), devices: 2)
                try check.run()
            } catch let disagreement as Disagreement {
                return disagreement.description
            }
        }
        return nil
    }

    @Test func theSmallTreeAgreesWithTheReference() throws {
        #expect(try firstDisagreement(of: SixteenPages.self) == nil)
    }

    @Test func aShortUndoIsCaught() throws {
        #expect(try firstDisagreement(of: ShortUndo.self) != nil)
    }

    @Test func forgettingTheCountsAboveIsCaught() throws {
        #expect(try firstDisagreement(of: ForgetsCountsAbove.self) != nil)
    }

    @Test func countingWholeWordsIsCaught() throws {
        #expect(try firstDisagreement(of: CountsWholeWords.self) != nil)
    }

    // MARK: By the audit

    @Test func aRecountThatForgetsTheNeighboursIsCaught() throws {
        let strategy = try make(PerPageSWAR.self, pages: 16, sharing: range(0..<16))
        let pin = try strategy.pinner(for: DeviceID(1)).pin(range(0..<16))
        strategy.tear(Tear(state: .intent, counted: 0..<1), range(2..<5), of: DeviceID(0))
        let cover = NarrowReach(original: LaneCover(arena: strategy.arena))
        _ = try cover.recover(DeviceID(0), arena: strategy.arena, until: .never)
        #expect(try strategy.audit() != nil)
        #expect(strategy.refusalOfConversion(page(1), to: .private) == nil, "under \(pin)")
    }

    // MARK: By two conversions that meet

    /// A conversion of page 0 is refused; just before it opens page 0 again, page 1 becomes private.
    private func convertWithinARefusal(_ strategy: some Interruptible) throws -> PinRefusal? {
        var meeting = strategy
        meeting.beforeOpen = { _ in
            #expect(strategy.refusalOfConversion(page(1), to: .private) == nil)
        }
        let device = strategy.pinner(for: DeviceID(0))
        let pin = try device.pin(page(0))
        #expect(meeting.refusalOfConversion(page(0), to: .private) == .pinned(GFN(0)))
        device.unpin(pin)
        return refusalOfPin(range(0..<4), by: device)
    }

    @Test(arguments: Candidate.safe)
    func aRefusalLeavesWhatAnotherConversionClosed(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Interposed<Strategy>.self, pages: 4, sharing: range(0..<4))
            #expect(try convertWithinARefusal(strategy) == .privatePage(GFN(1)))
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }

    @Test func restoringAnInnerLaneIsCaught() throws {
        let strategy = try make(RestoresInnerLanes.self, pages: 4, sharing: range(0..<4))
        #expect(try convertWithinARefusal(strategy) == nil)
        #expect(try strategy.audit() != nil)
    }

    /// Were the claim given up first, the page could be private by the time it is opened.
    @Test(arguments: Candidate.safe)
    func aConversionKeepsItsClaimUntilItHasOpenedThePages(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Interposed<Strategy>.self, pages: 4)
            var meeting = strategy
            meeting.beforeOpen = { range in
                #expect(strategy.refusalOfConversion(range, to: .private) == .converting(GFN(0)))
            }
            try meeting.convert(range(0..<4), to: .shared)
            let device = strategy.pinner(for: DeviceID(0))
            let pin = try device.pin(page(2))
            #expect(meeting.refusalOfConversion(range(0..<4), to: .private) == .pinned(GFN(2)))
            device.unpin(pin)
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }
}
