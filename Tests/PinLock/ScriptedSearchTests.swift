import DmaLinux
import GuestMemory
import Synchronization
import Testing

@testable import PinLock

/// What a conversion makes of the answers that its searches get, in any order that they can come in.
@Suite struct ScriptedSearchTests {
    private static var hooks: ConversionHooks { ConversionHooks() }
    private static let pages = range(1..<6)

    private func make(_ answers: PinSearch...) throws -> Scripted {
        let strategy = try PinLockTests.make(Scripted.self, pages: 8, sharing: range(0..<8))
        strategy.script.answers.withLock { $0 = answers }
        return strategy
    }

    private func begin(
        _ strategy: Scripted, until deadline: Deadline = .never
    ) throws -> PendingConversion {
        let step = try strategy.begin(
            Self.pages, to: .private, policy: .wait(until: deadline), hooks: Self.hooks)
        guard case .pending(let pending) = step else {
            throw Disagreement(description: "not pending: \(step)")
        }
        return pending
    }

    /// At the deadline the guest is told of a page that was pinned by then, not of one that was before.
    @Test func theLastPageThatWasFoundIsTold() throws {
        let deny = ConflictPolicy.wait(until: .now)
        #expect(
            try make(.pinned(GFN(3)), .pinned(GFN(5))).refusalOfConversion(
                Self.pages, to: .private, policy: deny) == .deadlinePassed(GFN(5)))
        #expect(
            try make(.pinned(GFN(3)), .incomplete).refusalOfConversion(
                Self.pages, to: .private, policy: deny) == .deadlinePassed(GFN(3)))
        #expect(
            try make(.incomplete, .incomplete).refusalOfConversion(
                Self.pages, to: .private, policy: deny) == .deadlinePassed(GFN(1)))
    }

    // MARK: Sleeping

    /// Whether a sleep lasts until a moment at least. A signal may end one early, not one after the other.
    private func lasts(until moment: Deadline, _ sleep: () -> Void) -> Bool {
        for _ in 0..<20 where !moment.hasPassed { sleep() }
        return moment.hasPassed
    }

    @Test func whoHasAnAnswerSleepsUntilARelease() throws {
        let strategy = try make(.pinned(GFN(3)), .pinned(GFN(3)))
        let pending = try begin(strategy)
        let limit = Deadline.after(milliseconds: 20)
        #expect(lasts(until: limit) { strategy.sleep(on: pending, until: limit) })
        // What has been let go since ends it at once.
        strategy.arena.coordination.announceUnpin()
        strategy.sleep(on: pending, until: .never)
        strategy.abandon(pending, hooks: Self.hooks)
    }

    @Test func whoHasNoneLooksAgainSoon() throws {
        let strategy = try make(.incomplete, .incomplete)
        let pending = try begin(strategy)
        let before = monotonicNanoseconds()
        for _ in 0..<20 { strategy.sleep(on: pending, until: .never) }
        // A sleep that a signal ends early is not the rule.
        #expect(monotonicNanoseconds() - before >= 10 * SearchBound.nanoseconds)
        strategy.abandon(pending, hooks: Self.hooks)
    }

    @Test func whoKnowsWhenSleepsUntilThen() throws {
        let strategy = try make(.pinned(GFN(3)), .pinned(GFN(3)))
        var pending = try begin(strategy)
        let due = Deadline.after(milliseconds: 20)
        pending.dueAgain = due
        #expect(lasts(until: due) { strategy.sleep(on: pending, until: .never) })
        strategy.abandon(pending, hooks: Self.hooks)
    }
}

/// Not broken: its searches answer what a test says, and what is true once that is used up.
private struct Scripted: Twin {
    let original: RangeTree
    let script = Script()

    init(arena: Arena) { original = RangeTree(arena: arena) }

    func search(_ range: PageRange, within nanoseconds: UInt64) -> PinSearch {
        script.next() ?? original.search(range, within: nanoseconds)
    }

    final class Script: Sendable {
        let answers = Mutex<[PinSearch]>([])

        func next() -> PinSearch? {
            answers.withLock { $0.isEmpty ? nil : $0.removeFirst() }
        }
    }
}
