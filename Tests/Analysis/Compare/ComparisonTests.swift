import Report
import Testing

@testable import Analysis

@Suite struct ComparisonTests {
    private let steady: [Double] = [100, 101, 102, 103, 104, 105, 106, 107]
    private var slower: [Double] { steady.map { $0 * 2 } }

    private func compare(
        _ base: [Row], _ new: [Row], metrics: [Metric] = [.standard], threshold: Double? = 0.05
    ) -> Comparison {
        Comparison(base: base, new: new, metrics: metrics, threshold: threshold)
    }

    @Test func aRegressionNeedsSixRoundsOnBothSides() {
        for (few, many) in [(5, 8), (8, 5), (1, 8), (8, 1)] {
            let comparison = compare(
                Synthetic.rows(Array(steady.prefix(few))),
                Synthetic.rows(Array(slower.prefix(many))))
            #expect(comparison.cells.map(\.verdict) == [.inconclusive])
            #expect(!comparison.cells[0].isRegression)
            #expect(comparison.notes.contains { $0.hasPrefix("fewer than 6 rounds") })
        }
        let comparison = compare(
            Synthetic.rows(Array(steady.prefix(6))), Synthetic.rows(Array(slower.prefix(6))))
        #expect(comparison.cells.map(\.verdict) == [.slower])
        #expect(comparison.cells[0].isRegression)
    }

    @Test func slowerByLessThanTheThresholdIsNoRegression() {
        let (base, new) = (Synthetic.rows(steady), Synthetic.rows(slower))
        for (threshold, fails) in [(nil, false), (0.5, true), (1.5, false)] as [(Double?, Bool)] {
            let cell = compare(base, new, threshold: threshold).cells[0]
            #expect(cell.verdict == .slower && cell.isRegression == fails)
        }
        let faster = compare(new, base).cells[0]
        #expect(faster.verdict == .faster && !faster.isRegression)
    }

    @Test func ofARateLessIsSlower() {
        func rows(_ values: [Double]) -> [Row] {
            values.enumerated().map {
                var row = Synthetic.row(round: $0.offset)
                row.writeBytesPerS = $0.element
                return row
            }
        }
        let rate = Metric.all.filter { $0.name == "write_bytes_per_s" }
        let fewer = compare(rows(slower), rows(steady), metrics: rate).cells[0]
        #expect(fewer.verdict == .slower && fewer.isRegression && fewer.ratio!.median == 0.5)
        #expect(compare(rows(steady), rows(slower), metrics: rate).cells[0].verdict == .faster)
    }

    @Test func everyMetricIsANumberThatWasMeasured() {
        let names = Metric.all.map(\.name)
        #expect(names.contains("dma_ns_p50") && names.contains("splits"))
        for asked in ["round", "size_bytes", "convert_rate_hz", "strategy", "noisy", "env"] {
            #expect(!names.contains(asked), "\(asked)")
        }
    }

    // MARK: What is compared with what

    @Test func cellsOfOneSideAreListed() {
        let base = Synthetic.rows(steady, of: "a") + Synthetic.rows(steady, of: "gone")
        let new = Synthetic.rows(steady, of: "a") + Synthetic.rows(steady, of: "added")
        let comparison = compare(base, new)
        #expect(comparison.cells.map(\.plan.strategy) == ["a"])
        #expect(comparison.notes == ["only in base: gone", "only in new: added"])
    }

    @Test func differentPlansAreDifferentCells() {
        var other = Synthetic.rows(steady)
        for index in other.indices { other[index].policy = "wait" }
        let comparison = compare(Synthetic.rows(steady), other)
        #expect(comparison.cells.isEmpty)
        #expect(
            comparison.notes
                == ["only in base: policy deny: perpage", "only in new: policy wait: perpage"])
    }

    /// A file that is older than a column has no value in it.
    @Test func aColumnThatOnlyOneFileHasPartsNothing() {
        var new = Synthetic.rows(steady)
        for index in new.indices {
            (new[index].convertTo, new[index].buffers) = ("private", "same")
        }
        #expect(compare(Synthetic.rows(steady), new).cells.map(\.verdict) == [.same])
        #expect(compare(new, Synthetic.rows(steady)).cells.map(\.verdict) == [.same])
    }

    /// Two pools in base, and none known in new: neither is the one.
    @Test func anAmbiguousCellIsNotGuessed() {
        var (small, large) = (Synthetic.rows(steady), Synthetic.rows(steady))
        for index in small.indices {
            (small[index].poolBytes, large[index].poolBytes) = (4096, 8192)
        }
        let unknown = compare(small + large, Synthetic.rows(steady))
        #expect(unknown.cells.isEmpty && unknown.notes == ["only in new: perpage"])
        let known = compare(small + large, large)
        #expect(known.cells.count == 1)
        #expect(known.notes == ["only in base: pool 4 KiB: perpage"])
        let both = compare(Synthetic.rows(steady), small + large)
        #expect(both.cells.count == 2)
    }

    @Test func aColumnIsComparedWithItsFirstValueOrAnother() {
        let rows = ["a", "b", "c"].flatMap { Synthetic.rows(steady, of: $0) }
        let first = Comparison(rows, column: "strategy", metrics: [.standard], threshold: nil)
        #expect(first.cells.map(\.plan.strategy) == ["b", "c"])
        let other = Comparison(
            rows, column: "strategy", base: "c", metrics: [.standard], threshold: nil)
        #expect(other.cells.map(\.plan.strategy) == ["a", "b"])
        let sizes = Synthetic.rows(steady, size: 4096) + Synthetic.rows(slower, size: 8192)
        let size = Comparison(sizes, column: "size_bytes", metrics: [.standard], threshold: nil)
        #expect(size.cells.map(\.verdict) == [.slower])
        #expect(size.cells[0].ratio!.median == 2)
    }

    /// What only one strategy has does not part it from the others.
    @Test func aStrategyWithAPoolIsComparedWithOneWithout() {
        var bounce = Synthetic.rows(slower, of: "bounce")
        for index in bounce.indices { bounce[index].poolBytes = 1 << 18 }
        let comparison = Comparison(
            Synthetic.rows(steady) + bounce, column: "strategy", metrics: [.standard],
            threshold: nil)
        #expect(comparison.cells.map(\.verdict) == [.slower])
    }

    @Test func onlyRoundsOfBothArePairs() {
        let rows =
            Synthetic.rows([1, nil, 3, 4, 5, 6, 7, 8], of: "a")
            + Synthetic.rows([2, 2, nil, 8], of: "b")
        let cell = Comparison(rows, column: "strategy", metrics: [.standard], threshold: nil).cells[
            0]
        #expect(cell.base.sorted == [1, 4] && cell.new.sorted == [2, 8])
        #expect(cell.ratio!.median == 2)
    }

    // MARK: Rows that say less, or nothing

    @Test func rowsThatAreNotOkAreCountedAndLeftOut() {
        var rows = Synthetic.rows(steady)
        rows.append(Synthetic.row(round: 9, dma: 9e9, status: .interrupted))
        rows.append(Synthetic.row(round: 10, dma: 9e9, status: .failed("x")))
        rows.append(Synthetic.row(round: 3, dma: 9e9))
        rows[0].noisy = ["cpu"]
        rows[1].noisy = ["cpu", "warmup"]
        let comparison = compare(Synthetic.rows(steady), rows)
        #expect(comparison.cells[0].new.sorted == steady)
        #expect(
            comparison.notes == [
                "new: left out: perpage interrupted (1 row)",
                "new: left out: perpage failed:x (1 row)",
                "new: left out: the same round of the same run again (1 row)",
                "new: noisy: cpu (2 rows)", "new: noisy: warmup (1 row)",
            ])
    }

    @Test func outliersAndASlowFirstRoundAreNamedAndStay() {
        let comparison = compare(Synthetic.rows(steady), Synthetic.rows([900] + steady))
        #expect(comparison.cells[0].new.count == 9)
        #expect(
            comparison.notes == [
                "new: outliers in dma_ns_p50, not left out: 1 of 9 rounds",
                "new: slow first round in dma_ns_p50: perpage (1 cell)",
            ])
    }

    @Test(
        arguments: [
            [], [nil], [.nan], [-1], [.infinity], [0], [5], [.nan, -3, nil],
            [0, 0, 0, 0, 0, 0, 0], [.nan, 1, 2, 3, 4, 5, 6], [1e308, 1e308, 1e-308, 0, 5, 5, 5],
        ] as [[Double?]])
    func oddValuesNeverTrap(_ odd: [Double?]) {
        for (base, new) in [(odd, odd), (odd, steady.map { $0 }), (steady.map { $0 }, odd)] {
            for threshold in [nil, 0, 0.05] as [Double?] {
                let comparison = compare(
                    Synthetic.rows(base), Synthetic.rows(new), threshold: threshold)
                for format in Format.allCases {
                    let text = comparison.text(format, width: 40)
                    #expect(!text.contains(/nan|[^e]-[0-9]/), "\(text)")
                }
                for cell in comparison.cells { #expect(cell.new.sorted.allSatisfy { $0 >= 0 }) }
            }
        }
    }

    @Test func fromNothingToSomethingIsARegression() {
        let zeros = [Double](repeating: 0, count: 8)
        let cell = compare(Synthetic.rows(zeros), Synthetic.rows(steady)).cells[0]
        #expect(cell.verdict == .slower && cell.isRegression)
        let equal = compare(Synthetic.rows(zeros), Synthetic.rows(zeros)).cells[0]
        #expect(equal.verdict == .same)
    }

    // MARK: Safety

    @Test func aNewViolationIsTold() {
        let good = Synthetic.rows(steady)
        var bad = good
        bad[3].status = .violation
        var counted = good
        counted[3].violationsStale = 2
        for broken in [bad, counted] {
            #expect(compare(good, broken).violations == ["perpage"])
            #expect(compare(broken, broken).violations.isEmpty)
            #expect(compare([], broken).violations == ["perpage"])
        }
        #expect(compare(good, good).violations.isEmpty)
        var unsafe = Synthetic.rows(steady, of: "none")
        unsafe[0].violationsStale = 2
        #expect(compare(Synthetic.rows(steady, of: "none"), unsafe).violations.isEmpty)
    }
}
