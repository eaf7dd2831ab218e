import DmaLinux
import GuestMemory
import Synchronization
import Testing

@testable import PinLock

/// A recovery that counts anew does so in pieces, and lets the devices go on between them.
@Suite struct RecountTests {
    private let dead = DeviceID(0)
    private let living = DeviceID(1)
    /// Two whole pieces and the beginning of a third.
    private static let pages = 2 * Recount.pages + 20

    /// Strategies whose pins have as many words as pages.
    static let pagewise = CountingCandidate.all.filter { $0.type.isPagewise }

    /// A torn pin of the whole guest, and held ones of many shapes around the edges of the pieces.
    private func make<Strategy: CountingStrategy>(
        _: Strategy.Type, entrySize: EntrySize = .small
    ) throws -> (strategy: Strategy, survivor: Strategy.Device) {
        let strategy = try PinLockTests.make(
            Strategy.self, pages: Self.pages, entrySize: entrySize, sharing: range(0..<Self.pages))
        let survivor = strategy.pinner(for: living)
        let edge = Recount.pages
        for pinned in [
            range(edge - 5..<edge + 3), page(edge - 1), page(edge), range(edge..<edge + 700),
            range(2 * edge - 1..<2 * edge + 9), page(Self.pages - 1), page(0),
        ] { _ = try survivor.pin(pinned) }
        let words = strategy.wordCount(of: range(0..<Self.pages))
        strategy.tear(
            Tear(state: .intent, counted: 0..<words - 1), range(0..<Self.pages), of: dead)
        return (strategy, survivor)
    }

    @Test(arguments: pagewise, [EntrySize.small, .large])
    func aFreezeIsForOnePiece(_ candidate: CountingCandidate, entrySize: EntrySize) throws {
        func check<Strategy: CountingStrategy>(_: Strategy.Type) throws {
            #expect(Recount.pages == (2 << 30) / 4096)
            let (strategy, survivor) = try make(Strategy.self, entrySize: entrySize)
            let most = strategy.wordCount(of: range(0..<Recount.pages))
            let arena = strategy.arena
            let looks = Looks()
            let cover = ObservedCover(original: Strategy.cover(arena)) {
                looks.add(during: arena.freezes)
            }
            #expect(try cover.recover(dead, arena: arena, until: .never) == 1)
            let frozen = looks.counts.filter { $0.key % 2 == 1 }.map(\.value)
            #expect(frozen.count == 3)
            // Words that several runs of pages share are asked for once for each.
            #expect(frozen.allSatisfy { $0 <= most + 16 }, "\(frozen), a piece has \(most)")
            #expect(try strategy.audit() == nil)
            withExtendedLifetime(survivor) {}
        }
        try check(candidate.type)
    }

    /// Its deadline has passed all along: a piece is done each time, for good, and devices pin as ever in between.
    @Test(arguments: pagewise)
    func aRecoveryGoesOnWhereItWasOutOfTime(_ candidate: CountingCandidate) throws {
        func check<Strategy: CountingStrategy>(_: Strategy.Type) throws {
            let (strategy, survivor) = try make(Strategy.self)
            for _ in 0..<2 {
                #expect(throws: RecoveryRefusal.outOfTime(dead)) {
                    try strategy.recover(dead, until: .now)
                }
                #expect(!strategy.arena.coordination.isFrozen)
                _ = try survivor.pin(range(Recount.pages - 9..<Recount.pages + 9))
            }
            #expect(try strategy.recover(dead, until: .now) == 1)
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }

    /// The same of a list: what is done of it is no longer in the journal, and living devices pin it as ever.
    @Test(arguments: CountingCandidate.all)
    func aListIsTakenBackRangeByRange(_ candidate: CountingCandidate) throws {
        func check<Strategy: CountingStrategy>(_: Strategy.Type) throws {
            let strategy = try PinLockTests.make(Strategy.self, pages: 64, sharing: range(0..<64))
            let survivor = strategy.pinner(for: living)
            let list = [range(3..<9), page(40), range(5..<17)]
            let cover = Strategy.cover(strategy.arena)
            for state in [Journal.State.intent, .releasing] {
                let words = strategy.wordCount(of: list)
                strategy.tear(Tear(state: state, counted: 1..<words - 1), list, of: dead)
                for left in [2, 1] {
                    #expect(throws: RecoveryRefusal.outOfTime(dead)) {
                        try strategy.recover(dead, until: .now)
                    }
                    let entries = strategy.arena.journal(of: dead).liveEntries()
                    #expect(entries.map(\.ranges) == [list.prefix(left).map(cover.reach)])
                    _ = try survivor.pin(list.span)
                }
                #expect(try strategy.recover(dead, until: .now) == 1)
                #expect(try strategy.audit() == nil)
            }
        }
        try check(candidate.type)
    }

    /// A device that meets the first freeze has its pin before the second begins, however soon that would be.
    @Test(arguments: pagewise)
    func whoWaitedIsLetThrough(_ candidate: CountingCandidate) throws {
        func check<Strategy: CountingStrategy>(_: Strategy.Type) throws {
            let (strategy, survivor) = try make(Strategy.self)
            let arena = strategy.arena
            let (first, second) = (Counter(), Counter())
            let came = DeviceID(2)
            let (hasPinned, isOver) = (Counter(), Counter())
            let thread = try WorkerThread(name: "device") {
                let pinner = strategy.pinner(for: came)
                waitUntil { first.value > 0 }
                let pin = try? pinner.pin(page(7))
                hasPinned.add(1)
                waitUntil { isOver.value > 0 }
                if let pin { pinner.unpin(pin) }
            }
            let cover = ObservedCover(original: Strategy.cover(arena)) {
                switch arena.freezes {
                case 1 where first.value == 0:
                    first.add(1)
                    waitUntil { arena.journal(of: came).isWaiting || hasPinned.value > 0 }
                case 3 where second.value == 0:
                    second.add(1)
                    #expect(arena.journal(of: came).heldPins == [page(7)])
                default: break
                }
            }
            #expect(try cover.recover(dead, arena: arena, until: .never) == 1)
            isOver.add(1)
            thread.join()
            #expect(second.value == 1)
            #expect(try strategy.audit() == nil)
            withExtendedLifetime(survivor) {}
        }
        try check(candidate.type)
    }

    /// One that does not come to its end after a freeze keeps the next from beginning, until it is known to be dead.
    @Test(arguments: CountingCandidate.all)
    func whoIsNotComeThroughIsNotFrozenAgain(_ candidate: CountingCandidate) throws {
        func check<Strategy: CountingStrategy>(_: Strategy.Type) throws {
            let strategy = try PinLockTests.make(Strategy.self, pages: 8, sharing: range(0..<8))
            let other = DeviceID(2)
            strategy.tear(Tear(state: .intent, counted: 0..<1), range(0..<7), of: dead)
            strategy.arena.journal(of: other).isWaiting = true
            #expect(throws: RecoveryRefusal.stillMoving(other)) {
                try strategy.recover(dead, until: .now)
            }
            #expect(strategy.arena.freezes == 0)
            // It was dead, and joins again: nobody waits for what its last life said.
            try strategy.recover([dead, other], eachWithin: 0)
            #expect(try strategy.audit() == nil)
            #expect(!strategy.arena.journal(of: other).isWaiting)
        }
        try check(candidate.type)
    }

    /// Another recovery has the lock for longer than this one has time.
    @Test(arguments: CountingCandidate.all)
    func aRecoveryDoesNotWaitForAnotherPastItsDeadline(_ candidate: CountingCandidate) throws {
        func check<Strategy: CountingStrategy>(_: Strategy.Type) throws {
            let strategy = try PinLockTests.make(Strategy.self, pages: 8, sharing: range(0..<8))
            strategy.tear(.held, range(0..<7), of: dead)
            _ = strategy.arena.coordination.recoveryLock.withLock {
                #expect(throws: RecoveryRefusal.outOfTime(dead)) {
                    try strategy.recover(dead, until: .after(milliseconds: 1))
                }
            }
            #expect(try strategy.recover(dead, until: .now) == 1)
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }
}

extension Arena {
    /// Twice the freezes there were, and one while there is one.
    fileprivate var freezes: UInt32 { coordination.freeze.pointee.load(ordering: .relaxed) }
}

/// How often something was looked at, by the freeze that there was.
private final class Looks: Sendable {
    private let all = Mutex<[UInt32: Int]>([:])

    var counts: [UInt32: Int] { all.withLock { $0 } }

    func add(during freeze: UInt32) { all.withLock { $0[freeze, default: 0] += 1 } }
}
