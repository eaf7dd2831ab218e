import GuestMemory
import PinLock
import Testing

@testable import Experiment

@Suite struct StoppingRuleTests {
    private let cells: [Cell]
    private var request = Request()

    init() throws {
        request.strategies = [None.self, RangeTree.self]
        request.sizes = [PageCount(16)]
        request.rounds = 8
        cells = try Plan(request).cells
    }

    /// After rounds of which each cell measured `figure`, all quiet but those of the second cell after `quiet` of them.
    private func verdict(
        after rounds: Int, quiet: Int = 0, figure: (Int) -> Double = { _ in 100 },
        _ change: (inout Request) -> Void
    ) -> StoppingRule.Verdict {
        var request = request
        change(&request)
        var rule = StoppingRule(request)
        for round in 1...rounds {
            for (place, cell) in cells.enumerated() {
                let isQuiet = place == 0 || round <= quiet
                rule.take(
                    StoppingRule.Note(figure: figure(round), isQuiet: isQuiet),
                    of: Plan.Turn(cell, round: round))
            }
        }
        return rule.verdict(on: cells, after: rounds)
    }

    @Test func withoutAGoalAllRoundsAreRun() {
        #expect(StoppingRule(request).mostRounds == 8)
        for rounds in 1...8 {
            guard case .goOn = verdict(after: rounds, { _ in }) else {
                Issue.record("ended after \(rounds)")
                return
            }
        }
    }

    @Test func stableIsNotBeforeSixRoundsAndUnstableIsTheLast() {
        let stable = { (request: inout Request) in request.tolerance = 0.02 }
        let restless = { (round: Int) in Double(round % 2 == 0 ? 100 : 200) }
        if case .goOn = verdict(after: 5, stable) {} else { Issue.record("after five") }
        if case .stable = verdict(after: 6, stable) {} else { Issue.record("not after six") }
        if case .goOn = verdict(after: 7, figure: restless, stable) {
        } else {
            Issue.record("seven")
        }
        if case .unstable(_, let spread) = verdict(after: 8, figure: restless, stable) {
            #expect(spread > 0.02)
        } else {
            Issue.record("the last round does not say so")
        }
    }

    /// Every cell needs its quiet rounds, for four times the rounds at most; the cell that lacks most is named.
    @Test func quietRoundsAreCountedByCell() {
        let three = { (request: inout Request) in request.quietRounds = 3 }
        if case .goOn = verdict(after: 8, quiet: 2, three) {} else { Issue.record("two sufficed") }
        if case .quiet(3) = verdict(after: 3, quiet: 3, three) {} else { Issue.record("no end") }
        if case .disturbed(let cell, 2) = verdict(after: 32, quiet: 2, three) {
            #expect(cell.index == 1)
        } else {
            Issue.record("the last round does not say so")
        }
    }
}
