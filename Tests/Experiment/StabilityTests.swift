import GuestMemory
import PinLock
import Testing

@testable import Experiment

@Suite struct StabilityTests {
    private let cells: [Cell]

    init() throws {
        var request = Request()
        request.strategies = [None.self, RangeTree.self]
        request.sizes = [PageCount(16)]
        cells = try Plan(request).cells
    }

    private func stability(_ figures: [[Double]]) -> Stability {
        var stability = Stability()
        for (cell, values) in zip(cells, figures) {
            for (index, value) in values.enumerated() {
                stability.note(Plan.Turn(cell, round: index + 1), value)
            }
        }
        return stability
    }

    /// Of six values the interval is from the least to the largest; the median here is 100.
    @Test func isTheFurtherEndOfTheInterval() {
        let known = stability([[99, 99, 100, 100, 101, 103], [100, 100, 100, 100, 100, 100]])
        let worst = known.worst(of: cells, rounds: 6)
        #expect(worst?.cell.index == 0)
        #expect(abs((worst?.spread ?? 0) - 0.03) < 1e-12)
        let below = stability([[95, 99, 100, 100, 101, 101]]).worst(of: cells, rounds: 6)
        #expect(abs((below?.spread ?? 0) - 0.05) < 1e-12)
    }

    /// With nine values an outlier on each side is outside the interval, with eight it is not.
    @Test func moreRoundsNarrowIt() {
        let values = [1, 1000, 100, 100, 100, 100, 100, 100, 100.0]
        let known = stability([values])
        #expect(known.worst(of: cells, rounds: 8)?.spread == 9)
        #expect(known.worst(of: cells, rounds: 9)?.spread == 0)
    }

    @Test func theWorstCellCounts() {
        let quiet = Array(repeating: 100.0, count: 6)
        let worst = stability([quiet, [90] + quiet.dropFirst()]).worst(of: cells, rounds: 6)
        #expect(worst?.cell.index == 1)
        #expect(worst?.spread == 0.1)
    }

    @Test func fewerRoundsThanSixNeverSuffice() {
        let known = stability([Array(repeating: 100, count: 9)])
        #expect(known.worst(of: cells, rounds: Stability.leastRounds - 1)?.spread == .infinity)
        #expect(known.worst(of: cells, rounds: Stability.leastRounds)?.spread == 0)
    }

    /// What cannot run here holds nobody up; what failed in a round does.
    @Test func cellsWithoutFiguresAreLeftOut() {
        #expect(stability([]).worst(of: cells, rounds: 6) == nil)
        let once = stability([Array(repeating: 100, count: 6), [100]])
        #expect(once.worst(of: cells, rounds: 6)?.spread == .infinity)
        let never = stability([Array(repeating: 100, count: 6)])
        #expect(never.worst(of: cells, rounds: 6)?.spread == 0)
    }
}
