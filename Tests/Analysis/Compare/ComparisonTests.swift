import DmaReport
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

    private func runs(_ count: Int, _ values: [Double]) -> [Row] {
        Synthetic.runs(Array(values.prefix(count)))
    }

    // MARK: Enough to tell

    @Test func aRegressionNeedsFourRunsOnBothSides() {
        for (base, new, verdict) in [
            (3, 8, "3 runs"), (8, 3, "3 runs"), (1, 8, "one run"), (8, 1, "one run"),
            (3, 3, "3 runs"),
        ] {
            let comparison = compare(runs(base, steady), runs(new, slower))
            #expect(comparison.cells.map(\.verdict.text) == [verdict])
            #expect(!comparison.cells[0].isRegression && comparison.testedCount == 0)
            // What is known is shown.
            #expect(comparison.cells[0].ratio!.estimate > 1.9)
            #expect(comparison.reasonForNoVerdict?.contains("--repeat 4") == true)
        }
        let comparison = compare(runs(4, steady), runs(4, slower))
        #expect(comparison.cells.map(\.verdict) == [.slower])
        #expect(comparison.cells[0].isRegression && comparison.reasonForNoVerdict == nil)
    }

    /// However many rounds it has: they are of one run, and another run may have other values throughout.
    @Test func aRunIsOneValue() {
        let rounds = (0..<100).map { 100 + Double($0 % 7) }
        let comparison = compare(
            Synthetic.rows(rounds), Synthetic.rows(rounds.map { $0 * 3 }))
        #expect(comparison.cells.map(\.verdict) == [.tooFew(1, .run)])
        #expect(comparison.cells[0].base.sorted == [103])
        #expect(
            comparison.notes.first
                == "without a verdict: 1 of 1 comparisons; a verdict needs 4 runs or more on each side, and at most "
                + "twice as many on one as on the other: measure both with --repeat 4")
    }

    @Test func atMostTwiceAsManyOnOneSide() {
        let many = (0..<9).map { 100 + Double($0) }
        #expect(compare(runs(4, steady), runs(8, many)).cells[0].isTested)
        for (base, new) in [(4, 9), (9, 4)] {
            let cell = compare(runs(base, many), runs(new, many)).cells[0]
            #expect(cell.verdict == .uneven && !cell.isTested)
        }
    }

    /// Values that one side lacks are no values of either.
    @Test func aCellThatRunsLackIsLeftOutOfTheFamily() {
        let (base, new) = (runs(8, steady), runs(8, slower))
        let few =
            Synthetic.runs(Array(steady.prefix(3)) + [nil, nil], of: "rangetree")
            + Synthetic.rows([nil], of: "slots")
        let comparison = compare(base + few, new + few)
        #expect(comparison.testedCount == 1)
        #expect(comparison.cells.map(\.verdict) == [.slower, .tooFew(3, .run)])
        #expect(comparison.cells[0].adjustedP == comparison.cells[0].ratio?.p)
    }

    @Test func slowerByLessThanTheThresholdIsNoRegression() {
        let (base, new) = (Synthetic.runs(steady), Synthetic.runs(slower))
        for (threshold, fails) in [(nil, false), (0.5, true), (1.5, false)] as [(Double?, Bool)] {
            let cell = compare(base, new, threshold: threshold).cells[0]
            #expect(cell.verdict == .slower && cell.isRegression == fails)
        }
        let faster = compare(new, base).cells[0]
        #expect(faster.verdict == .faster && !faster.isRegression)
    }

    /// What the gate cannot rule out is named, with the difference that it would have seen.
    @Test func undecidedCellsAreTold() throws {
        let wild: [Double] = [100, 130, 90, 115]
        let comparison = compare(Synthetic.runs(wild), Synthetic.runs(wild.reversed()))
        #expect(comparison.cells.map(\.verdict) == [.inconclusive])
        let least = try #require(comparison.cells[0].leastVisible)
        #expect(least > 0.2 && least < 0.5)
        #expect(
            comparison.notes == [
                "inconclusive at 5 %: 1 of 1 comparisons, each with the least difference that would "
                    + "have shown: perpage, dma_ns_p50 (\(Comparison.percent(least)))"
            ])
        #expect(compare(Synthetic.runs(wild), Synthetic.runs(wild), threshold: nil).notes == [])
    }

    /// A clock that advances by 40 ns tells 100 from 140 ns, and nothing between.
    @Test func theStepOfTheClockIsAFloor() {
        func runs(_ value: Double, step: Double?) -> [Row] {
            Synthetic.runs([value, value, value, value]).map {
                var row = $0
                row.clockStepNs = step
                return row
            }
        }
        #expect(compare(runs(100, step: nil), runs(110, step: nil)).cells[0].verdict == .slower)
        let cell = compare(runs(100, step: 40), runs(110, step: 40)).cells[0]
        #expect(cell.verdict == .inconclusive)
        let hot = Metric.all.first { $0.name == "pair_hot_ns" }!
        #expect(hot.step(runs(100, step: 40)) == nil)
        #expect(Metric.all.first { $0.name == "refused" }!.step([]) == 1)
        #expect(Metric.all.first { $0.name == "sync_share" }!.step([]) == nil)
    }

    @Test func ofARateLessIsSlower() {
        let counts: [WritableKeyPath<Row, UInt64?>] = [
            \.inRequests, \.inBytes, \.outRequests, \.outBytes, \.ops,
        ]
        func rows(_ values: [Double]) -> [Row] {
            values.enumerated().map {
                var row = Synthetic.row()
                row.run = "\($0.offset)"
                row.writeBytesPerS = $0.element
                for count in counts { row[keyPath: count] = UInt64($0.element) }
                return row
            }
        }
        let names = [
            "write_bytes_per_s", "ops", "in_requests", "in_bytes", "out_requests", "out_bytes",
        ]
        let rates = Metric.all.filter { names.contains($0.name) }
        #expect(rates.count == names.count)
        for fewer in compare(rows(slower), rows(steady), metrics: rates).cells {
            #expect(fewer.verdict == .slower && fewer.isRegression, "\(fewer.metric.name)")
            #expect(abs(fewer.ratio!.estimate - 0.5) < 1e-12)
        }
        let more = compare(rows(steady), rows(slower), metrics: rates).cells
        #expect(more.map(\.verdict) == rates.map { _ in .faster })
    }

    @Test func everyMetricIsANumberThatWasMeasured() {
        let names = Metric.all.map(\.name)
        #expect(names.contains("dma_ns_p50") && names.contains("splits"))
        for asked in ["round", "size_bytes", "convert_rate_hz", "strategy", "noisy", "env"] {
            #expect(!names.contains(asked), "\(asked)")
        }
        // Neither more nor less of it is better: it could have no verdict.
        for fact in ["segments_p50", "segments_max", "depth_p50", "depth_max", "shared_lines"] {
            #expect(Schema.column(fact) != nil && !names.contains(fact), "\(fact)")
        }
    }

    // MARK: What is compared with what

    @Test func cellsOfOneSideAreListed() {
        let base = Synthetic.runs(steady, of: "a") + Synthetic.runs(steady, of: "gone")
        let new = Synthetic.runs(steady, of: "a") + Synthetic.runs(steady, of: "added")
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
        var new = Synthetic.runs(steady)
        for index in new.indices {
            (new[index].convertTo, new[index].buffers) = ("private", "same")
        }
        #expect(compare(Synthetic.runs(steady), new).cells.map(\.verdict) == [.same])
        #expect(compare(new, Synthetic.runs(steady)).cells.map(\.verdict) == [.same])
    }

    /// A trace's requests are not those of the harness, nor of a real guest, nor of another trace or speed, although
    /// they have no size that could differ.
    @Test func requestsOfSomebodyElseAreOtherCells() {
        func rows(_ guest: String?, _ trace: String? = nil, _ speed: String? = nil) -> [Row] {
            Synthetic.runs(steady).map {
                var row = $0
                (row.guest, row.trace, row.speed) = (guest, trace, speed)
                if guest != nil {
                    (row.sizeBytes, row.chunkBytes, row.ranges, row.misalignBytes) = (
                        nil, nil, nil, nil
                    )
                }
                return row
            }
        }
        let guests = [
            rows(nil), rows("vhost-user"), rows("trace", "a.csv", "1"), rows("trace", "a.csv", "2"),
            rows("trace", "b.csv", "1"),
        ]
        for (one, base) in guests.enumerated() {
            for (other, new) in guests.enumerated() {
                let comparison = compare(base, new)
                #expect(comparison.cells.count == (one == other ? 1 : 0), "\(one), \(other)")
                #expect(comparison.notes.isEmpty == (one == other))
            }
        }
        #expect(
            compare(guests[0], guests[1]).notes
                == [
                    "only in base: guest harness: perpage",
                    "only in new: guest vhost-user: perpage",
                ]
        )
    }

    /// Two pools in base, and none known in new: neither is the one.
    @Test func anAmbiguousCellIsNotGuessed() {
        var (small, large) = (Synthetic.runs(steady), Synthetic.runs(steady))
        for index in small.indices {
            (small[index].poolBytes, large[index].poolBytes) = (4096, 8192)
        }
        let unknown = compare(small + large, Synthetic.runs(steady))
        #expect(unknown.cells.isEmpty && unknown.notes == ["only in new: perpage"])
        let known = compare(small + large, large)
        #expect(known.cells.count == 1)
        #expect(known.notes.first == "only in base: pool 4 KiB: perpage")
        let both = compare(Synthetic.runs(steady), small + large)
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
        #expect(size.cells[0].ratio!.estimate == 2)
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

    // MARK: Pairs

    private func byStrategy(_ rows: [Row]) -> CellComparison {
        Comparison(rows, column: "strategy", metrics: [.standard], threshold: 0.05).cells[0]
    }

    @Test func onlyRoundsOfBothArePairs() {
        let cell = byStrategy(
            Synthetic.rows([1, nil, 3, 4, 5, 6, 7, 8], of: "a")
                + Synthetic.rows([2, 2, nil, 8], of: "b"))
        #expect(cell.base.sorted == [1, 4] && cell.new.sorted == [2, 8])
        #expect(abs(cell.ratio!.estimate - 2) < 1e-12)
        #expect(cell.verdict == .tooFew(2, .round))
    }

    @Test func withinARunSixRoundsDecide() {
        for (rounds, verdict) in [(5, Verdict.tooFew(5, .round)), (6, .slower)] {
            let cell = byStrategy(
                Synthetic.rows(Array(steady.prefix(rounds)), of: "a")
                    + Synthetic.rows(Array(slower.prefix(rounds)), of: "b"))
            #expect(cell.verdict == verdict && cell.unit == .round)
        }
    }

    /// Of four runs each is one pair; of fewer the rounds of one run are, and the others are no witnesses.
    @Test func fromFourRunsOnRunsArePairs() {
        func rows(_ runs: Int) -> [Row] {
            (1...runs).flatMap { run in
                ["a", "b"].flatMap { strategy in
                    Synthetic.rows(
                        steady.map { $0 * Double(run) * (strategy == "b" ? 2 : 1) }, of: strategy
                    ).map {
                        var row = $0
                        row.run = "r\(run)"
                        return row
                    }
                }
            }
        }
        let three = byStrategy(rows(3))
        #expect(three.unit == .round && three.base.sorted == steady && three.verdict == .slower)
        let four = byStrategy(rows(4))
        #expect(four.unit == .run && four.verdict == .slower)
        #expect(four.base.sorted == [103.5, 207, 310.5, 414])
    }

    /// Old and new drift together; only as pairs do they show that one is slower.
    @Test func adjacentRunsArePairs() {
        let drift: [Double] = [100, 200, 400, 800]
        let (old, new) = (Synthetic.runs(drift), Synthetic.runs(drift.map { $0 * 1.1 }))
        let pairs = Comparison(
            pairing: old, named: "old", with: new, named: "new", metrics: [.standard],
            threshold: 0.05)
        #expect(pairs.cells.map(\.verdict) == [.slower] && pairs.cells[0].isRegression)
        #expect(compare(old, new).cells.map(\.verdict) == [.inconclusive])
        let three = Comparison(
            pairing: Array(old.prefix(3)), named: "old", with: new, named: "new",
            metrics: [.standard], threshold: 0.05)
        #expect(three.cells.map(\.verdict) == [.tooFew(3, .pair)])
        #expect(
            three.reasonForNoVerdict
                == "there are 3 pairs; a verdict needs 4 pairs or more: measure with --pairs 4")
    }

    // MARK: Rows that say less, or nothing

    @Test func rowsThatAreNotOkAreCountedAndLeftOut() {
        var rows = Synthetic.runs(steady)
        var wrong = [
            Synthetic.row(dma: 9e9, status: .interrupted),
            Synthetic.row(dma: 9e9, status: .failed("x")), Synthetic.row(dma: 9e9),
        ]
        for index in wrong.indices { wrong[index].run = "r3" }
        rows[0].noisy = ["cpu"]
        rows[1].noisy = ["cpu", "warmup"]
        let comparison = compare(Synthetic.runs(steady), rows + wrong)
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
        let comparison = compare(Synthetic.runs(steady), Synthetic.runs([900] + steady))
        #expect(comparison.cells[0].new.count == 9)
        #expect(
            comparison.notes.suffix(2) == [
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
                    Synthetic.runs(base), Synthetic.runs(new), threshold: threshold)
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
        let cell = compare(Synthetic.runs(zeros), Synthetic.runs(steady)).cells[0]
        #expect(cell.verdict == .slower && cell.isRegression)
        let equal = compare(Synthetic.runs(zeros), Synthetic.runs(zeros)).cells[0]
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
