import DmaReport
import DmaStatistics
import Testing

@testable import Analysis

/// How often a comparison is right, over many trials from fixed seeds. Times spread log-normally by so many per cent
/// from run to run, a half of the variance common to all cells of a run.
@Suite struct GateRateTests {
    private func compare(
        runs: Int = 4, newRuns: Int? = nil, cells: Int, noise: Double, newNoise: Double? = nil,
        threshold: Double? = 0.05, seed: UInt64, factor: (Int) -> Double = { _ in 1 }
    ) -> Comparison {
        var random = SplitMix64(seed: seed)
        let base = Synthetic.runs(runs, cells: cells, noise: noise, &random)
        let new = Synthetic.runs(
            newRuns ?? runs, cells: cells, noise: newNoise ?? noise, &random, factor: factor)
        return Comparison(
            base: base, new: new, metrics: [.standard], threshold: threshold)
    }

    private func hasVerdict(_ comparison: Comparison) -> Bool {
        comparison.cells.contains { [.faster, .slower].contains($0.verdict) }
    }

    // MARK: Nothing has changed

    /// Of 300 families of 20 cells, four runs a side, at most 18 have any verdict: 6 %. Without Holm there would be one
    /// in more than 90.
    @Test func equalRunsAreEqual() {
        var (alarms, unadjusted) = (0, 0)
        for seed in 0..<300 {
            let comparison = compare(cells: 20, noise: 0.02, seed: UInt64(1000 + seed))
            if hasVerdict(comparison) { alarms += 1 }
            if comparison.cells.contains(where: { $0.ratio!.p! < 0.05 }) { unadjusted += 1 }
        }
        #expect(alarms <= 18)
        #expect(unadjusted > 90)
    }

    /// The same of pairs; and of twice as many runs on one side, where Welch's test is a little more eager.
    @Test func equalPairsAndUnevenSidesAreEqual() {
        var (pairs, uneven) = (0, 0)
        for seed in 0..<200 {
            var random = SplitMix64(seed: UInt64(6000 + seed))
            let base = Synthetic.runs(6, cells: 20, noise: 0.02, &random)
            let new = Synthetic.runs(6, cells: 20, noise: 0.02, &random)
            if hasVerdict(
                Comparison(
                    pairing: base, named: "a", with: new, named: "b", metrics: [.standard],
                    threshold: nil))
            {
                pairs += 1
            }
            if hasVerdict(compare(newRuns: 8, cells: 20, noise: 0.02, seed: UInt64(7000 + seed))) {
                uneven += 1
            }
        }
        #expect(pairs <= 12)
        #expect(uneven <= 16)
    }

    /// Five times the spread on one side: a verdict in at most 24 of 200 families, 12 %, and next to never a regression.
    @Test func anotherSpreadIsNoRegression() {
        var (alarms, failed) = (0, 0)
        for seed in 0..<200 {
            let comparison = compare(
                cells: 20, noise: 0.01, newNoise: 0.05, seed: UInt64(3000 + seed))
            if hasVerdict(comparison) { alarms += 1 }
            if comparison.cells.contains(where: \.isRegression) { failed += 1 }
        }
        #expect(alarms <= 24)
        #expect(failed <= 12)
    }

    // MARK: Something has

    /// A hundred times the time in one of 40 cells, as in a sweep: there is no noise in which four runs a side miss it.
    @Test func aHundredTimesTheTimeIsAlwaysSeen() {
        for seed in 0..<50 {
            let comparison = compare(cells: 40, noise: 0.2, seed: UInt64(2000 + seed)) {
                $0 == 7 ? 100 : 1
            }
            #expect(comparison.cells[7].isRegression)
        }
    }

    /// Every time of a sweep a hundredfold: every cell is told.
    @Test func aHundredTimesEveryTimeIsSeenEverywhere() {
        let comparison = compare(cells: 40, noise: 0.03, seed: 9) { _ in 100 }
        #expect(comparison.cells.allSatisfy { $0.isRegression })
    }

    /// One of 20 cells by 20 %, where runs spread by 3 %: with eight runs a side in at least 190 of 200 trials.
    @Test func aShiftIsCaught() {
        var (caught, wrong) = (0, 0)
        for seed in 0..<200 {
            let failed = compare(runs: 8, cells: 20, noise: 0.03, seed: UInt64(seed)) {
                $0 == 7 ? 1.2 : 1
            }
            .cells.filter(\.isRegression).map(\.plan.sizeBytes)
            if failed.contains(4096 << 7) { caught += 1 }
            if failed.contains(where: { $0 != 4096 << 7 }) { wrong += 1 }
        }
        #expect(caught >= 190)
        #expect(wrong <= 12)
    }

    /// A change of 10 % where runs spread by 30 %: neither shown nor denied in at least 170 of 200 trials.
    @Test func noiseIsInconclusive() {
        let verdicts = (0..<200).map { seed in
            compare(cells: 1, noise: 0.3, seed: UInt64(4000 + seed)) { _ in 1.1 }.cells[0].verdict
        }
        #expect(verdicts.count { $0 == .inconclusive } >= 170)
        #expect(verdicts.count { $0 == .same } <= 5)
    }

    /// Equal, where runs spread by 1 %: shown not to be slower by 5 % in at least 180 of 200 trials.
    @Test func quietEqualRunsAreTheSame() {
        let same = (0..<200).count { seed in
            compare(cells: 1, noise: 0.01, seed: UInt64(5000 + seed)).cells[0].verdict == .same
        }
        #expect(same >= 180)
    }
}
