import DmaLinux
import DmaStatistics
import GuestMemory
import Synchronization
import Testing

@testable import PinLock

/// A pin and a conversion that meet as nearly at once as can be, over and over, in each strategy as it is.
///
/// Random traffic hardly ever shows what is tested here: a pin that looks whether its pages are open before it says
/// what it pins has a moment of some ten nanoseconds in which a conversion has to close them and to look.
@Suite(.serialized) struct MeetingTests {
    @Test(arguments: Candidate.safe)
    func aPinAndAConversionNeverMissEachOther(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let meeting = try Meeting<Strategy>()
            // Where there are more threads than processors, they hardly ever meet: not for long.
            #expect(try meeting.misses(in: 20_000, until: .after(milliseconds: 3_000)) == 0)
        }
        try check(candidate.type)
    }

    /// The latest moment for a pin. Where the claim itself closes the pages, that has passed.
    @Test(arguments: Candidate.safe)
    func aConversionFindsAPinFromJustBeforeItsClose(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_ type: Strategy.Type) throws {
            var strategy = try make(
                Interposed<Strategy>.self, pages: 8, sharing: range(0..<8))
            // All of it on this thread.
            nonisolated(unsafe) let device = strategy.pinner(for: DeviceID(0))
            let pins = Counter()
            strategy.beforeClose = { if (try? device.pin($0)) != nil { pins.add(1) } }
            let refusal = strategy.refusalOfConversion(range(2..<5), to: .private)
            #expect(pins.value == 1 || type == PerPage.self)
            #expect(refusal == (pins.value == 1 ? .pinned(GFN(2)) : nil))
        }
        try check(candidate.type)
    }
}

private final class Meeting<Strategy: PinStrategy> {
    private let strategy: Strategy
    private let device: Strategy.Device
    private let pinned: PageRange
    private let rendezvous = Rendezvous()
    private let isPinned = Atomic(false)
    private let isLast = Atomic(false)

    init() throws {
        // So that a pin looks at one word.
        pinned = range(0..<(Strategy.isPagewise ? 1 : pagesPerGiB))
        strategy = try make(Strategy.self, pages: pagesPerGiB, sharing: range(0..<pagesPerGiB))
        device = strategy.pinner(for: DeviceID(0))
    }

    /// How often both went ahead, the pin and the conversion: until that has been seen, or rounds or time are over.
    func misses(in rounds: Int, until deadline: Deadline) throws -> Int {
        let misses = Counter()
        try inParallel([
            { self.pin() },
            {
                var random = SplitMix64(seed: 2)
                var turn = 0
                for round in 1...rounds {
                    let isLast = round == rounds || misses.value > 0 || deadline.hasPassed
                    if self.convert(&random, &turn, isLast) { misses.add(1) }
                    if isLast { break }
                }
            },
        ])
        return misses.value
    }

    private func pause(_ random: inout SplitMix64) {
        var backoff = Backoff()
        for _ in 0..<Int.random(in: 0...60, using: &random) { backoff.pause() }
    }

    private func pin() {
        var random = SplitMix64(seed: 1)
        var turn = 0
        var isLast = false
        while !isLast {
            rendezvous.meet(&turn)
            pause(&random)
            let pin = try? device.pin(pinned)
            isPinned.store(pin != nil, ordering: .relaxed)
            isLast = self.isLast.load(ordering: .relaxed)
            rendezvous.meet(&turn)
            if let pin { device.unpin(pin) }
        }
    }

    /// The first steps of a conversion, and back again; whether they missed the pin that missed them.
    private func convert(_ random: inout SplitMix64, _ turn: inout Int, _ isLast: Bool) -> Bool {
        let table = strategy.arena.table
        self.isLast.store(isLast, ordering: .relaxed)
        rendezvous.meet(&turn)
        pause(&random)
        try! table.claim(page(0), leaving: .shared)
        try! strategy.close(page(0))
        let found = strategy.firstPinned(in: page(0))
        rendezvous.meet(&turn)
        let isMissed = found == nil && isPinned.load(ordering: .relaxed)
        strategy.open(page(0))
        table.releaseClaim(page(0))
        return isMissed
    }
}

// What both threads change is atomic; the pinner is one thread's alone.
extension Meeting: @unchecked Sendable {}
