import DmaReport
import DmaStatistics
import Testing

@testable import Analysis

/// What figures hold, against rows whose medians were worked out by hand.
@Suite struct FigureTests {
    @Test func costIsTheMedianOverRoundsWithItsInterval() throws {
        let figure = try #require(drawn("cost-by-size", of: sweep))
        let perpage = try #require(figure.series("perpage"))
        // 11 to 16 ns: the median is 13.5 ns, and of six values the interval is all of them.
        #expect(
            perpage.points == [
                .init(x: 4096, y: 13.5, xInterval: nil, yInterval: Interval(low: 11, high: 16)),
                .init(
                    x: 1_048_576, y: 1350, xInterval: nil,
                    yInterval: Interval(low: 1100, high: 1600)),
            ])
        let write = try #require(figure.series("the write itself"))
        #expect(write.points.map(\.y) == [1000, 100_000])
        #expect((figure.x.quantity, figure.y.quantity) == (.bytes, .nanoseconds))
        #expect(figure.x.scale == .logarithmic && figure.y.scale == .logarithmic)
        #expect(figure.caption.hasSuffix("Medians of 6 rounds, with 95 % intervals."))
        #expect(figure.source.contains("f.csv; env e; run r"))
    }

    @Test func fiveRoundsHaveNoInterval() throws {
        let figure = try #require(drawn("cost-by-size", of: sweep.filter { $0.round < 6 }))
        #expect(figure.series.allSatisfy { $0.points.allSatisfy { $0.yInterval == nil } })
        #expect(figure.caption.hasSuffix("Medians of 5 rounds, too few for intervals."))
    }

    @Test func strategiesThatMayNotBeTrustedAreMarked() throws {
        var rows = sweep
        rows[0].status = .violation
        let figure = try #require(drawn("cost-by-size", of: rows))
        #expect(
            figure.series.map(\.name) == [
                "perpage (violated)", "none (unsafe)", "the write itself",
            ])
        #expect(figure.series.map(\.look.isHollow) == [true, true, false])
        #expect(figure.series.map(\.look.dash) == [.dotted, .dotted, .solid])
        let sound = try #require(drawn("cost-by-size")?.series("perpage"))
        #expect(!sound.look.isHollow && sound.look.dash != .dotted)
    }

    @Test func rowsWithoutAWholeMeasurementAreCountedAndLeftOut() throws {
        let extra = [
            row("rpc", pin: 1, write: 1, unpin: 1) { $0.status = .interrupted },
            row("ofd", pin: 1, write: 1, unpin: 1) { $0.status = .unavailable("no") },
            row("ofd", pin: 1, write: 1, unpin: 1) { $0.status = .unavailable("no") },
        ]
        let figure = try #require(drawn("cost-by-size", of: sweep + extra))
        #expect(figure.series.map(\.name) == ["perpage", "none (unsafe)", "the write itself"])
        #expect(figure.caption.hasSuffix("Left out: 1 row interrupted; 2 rows unavailable."))
    }

    /// Rows of another setting would make medians of different things.
    @Test func onlyOneSettingIsDrawn() throws {
        let other = sweep.filter { $0.sizeBytes == 4096 }.map { row in
            var row = row
            (row.engine, row.convertRateHz, row.pinNsP50) = ("stosq", 0, 1e9)
            return row
        }
        let figure = try #require(drawn("cost-by-size", of: other + sweep))
        #expect(figure.series("perpage")?.points.map(\.y) == [13.5, 1350])
        #expect(figure.caption.hasSuffix("Left out: 0 conversions/s; engine stosq."))
    }

    /// A pool of another size is another experiment, but as large as the request is the rule.
    @Test func onlyOnePoolIsDrawn() throws {
        let pools = sweep.map { row in
            var row = row
            if row.strategy == "perpage" { row.poolBytes = row.sizeBytes }
            return row
        }
        let small = sweep.filter { $0.strategy == "perpage" && $0.round == 1 }.map { row in
            var row = row
            (row.run, row.poolBytes, row.pinNsP50) = ("s", 512, 1e6)
            return row
        }
        let figure = try #require(drawn("cost-by-size", of: small + pools))
        #expect(figure.series("perpage")?.points.map(\.y) == [13.5, 1350])
        #expect(figure.caption.hasSuffix("Left out: other pools, caches, or ways with faults."))
    }

    @Test func strategiesAreChosenAndTheOthersNamed() throws {
        let figures = Figures(
            of: sweep, sources: [], strategies: ["none"], looks: StrategyLooks([]))
        let figure = try #require(figures.drawn.first)
        #expect(figure.series.map(\.name) == ["none (unsafe)", "the write itself"])
        #expect(figure.caption.hasSuffix("Left out: strategies perpage."))
    }

    @Test func sharesAreOfTheLargestSizeAndTheLargestShareIsOnTop() throws {
        let figure = try #require(drawn("sync-share"))
        #expect(figure.series.map(\.name) == ["pin", "unpin", "write"])
        guard case .names(let names) = figure.y.scale else { throw Wrong() }
        // perpage: 1000 of 102,100 to 102,600 ns is the pin; with the unpin 1100 to 1600.
        #expect(names == ["perpage  1.3 %", "none (unsafe)  0.4 %"])
        let low = 1100.0 / 101_100
        let high = 1600.0 / 101_600
        let end = figure.series[1].points[0]
        #expect(end.xInterval == Interval(low: low, high: high))
        #expect(abs(end.x - 1350.0 / 101_350) < 1e-6)
        #expect(figure.series[2].points.allSatisfy { $0.x == 1 })
    }

    struct Wrong: Error {}

    @Test func theTradeHasAPointForEachRate() throws {
        let rows = (1...6).flatMap { round in
            [(1000.0, 50.0), (10_000, 70)].map { rate, latency in
                row("slots", round: round, size: 1_000_000, pin: 1, write: 998, unpin: 1) {
                    $0.convertRateHz = rate
                    $0.convertNsP99 = latency + Double(round)
                }
            }
        }
        let figure = try #require(drawn("throughput-against-conversions", of: rows))
        let points = try #require(figure.series("slots")?.points)
        // 10^6 bytes in 1000 ns.
        #expect(points.map(\.x) == [1e12, 1e12])
        #expect(points.map(\.y) == [53.5, 73.5])
        #expect(points.map(\.step) == [0, 1])
        #expect(points[0].yInterval == Interval(low: 51, high: 56))
        #expect((figure.x.quantity, figure.y.quantity) == (.bytesPerSecond, .nanoseconds))
    }

    /// A point for each rate, where the devices were in fact busy: of two the mean. The closed loop is one of them.
    @Test func whatIsDeniedLiesAtTheUtilisationThatWasMeasured() throws {
        let loads: [(rate: Double?, busy: Double, denied: UInt64)] = [
            (nil, 0.9, 90), (100, 0.1, 10), (1000, 0.5, 60),
        ]
        let rows = (1...6).flatMap { round in
            loads.map { load in
                row("slots", round: round) {
                    $0.dmaRateHz = load.rate
                    $0.dmaArrivals = load.rate == nil ? nil : "poisson"
                    $0.deviceBusy = [load.busy - 0.05, load.busy + 0.05]
                    ($0.conversions, $0.conversionsDenied) = (100 - load.denied, load.denied)
                    ($0.convertNsP50, $0.convertNsP99) = (Double(round), 100 * load.busy)
                }
            }
        }
        let denied = try #require(drawn("denied-by-utilisation", of: rows))
        let points = try #require(denied.series("slots")?.points)
        #expect(zip(points, [0.1, 0.5, 0.9]).allSatisfy { abs($0.x - $1) < 1e-9 })
        #expect(points.map(\.y) == [0.1, 0.6, 0.9])
        #expect(denied.x.quantity == .share && denied.y.quantity == .share)
        let median = try #require(drawn("conversion-p50-by-utilisation", of: rows))
        #expect(median.series("slots")?.points.map(\.y) == [3.5, 3.5, 3.5])
        let tail = try #require(drawn("conversion-p99-by-utilisation", of: rows))
        #expect(tail.series("slots")?.points.map(\.y) == [10, 50, 90])
        let single = rows.filter { $0.dmaRateHz == nil }
        #expect(omission("denied-by-utilisation", of: single)?.contains("--dma-rate") == true)
    }

    /// Rows of two rates are not one cell's: other figures show those of one, and say so.
    @Test func aRateOfRequestsIsNamed() throws {
        let paced = sweep.map { row in
            var row = row
            row.dmaRateHz = 500
            return row
        }
        let figure = try #require(drawn("cost-by-size", of: paced))
        #expect(figure.source.contains("500 DMAs/s due"))
        let usual = try #require(drawn("cost-by-size", of: sweep))
        #expect(!usual.source.contains("DMA after"))
    }

    /// Rows are anybody's: a strategy of which no time can have been measured has no points.
    @Test func timesBeyondAllMeasureAreLeftOut() throws {
        for beyond in [1.0000001e18, 1e308] {
            let latencies = ["slots": 50, "epoch": beyond]
            let trade = latencies.map { name, latency in
                row(name, size: 1_000_000, pin: 1, write: 998, unpin: 1) {
                    $0.convertNsP99 = latency
                }
            }
            let figure = try #require(drawn("throughput-against-conversions", of: trade))
            #expect(figure.series("slots")?.points.count == 1)
            #expect(figure.series("epoch")?.points.isEmpty == true)

            let costs = ["bounce": 1, "slots": 2, "epoch": beyond].map { name, pin in
                row(name, pin: pin, write: 1, unpin: 0) { $0.copyNsP50 = 1 }
            }
            let even = try #require(drawn("break-even-bounce", of: costs))
            #expect(even.series("slots") != nil && even.series("epoch") == nil)
        }
    }

    /// 200 conversions tell the 99th percentile, not the 99.9th.
    @Test func theDistributionEndsWhereTheConversionsDo() throws {
        let rows = (1...6).map { round in
            row("slots", round: round) {
                $0.conversions = 200
                $0.convertNsCdf = Row.distributionPercents.map { UInt64($0) * 10 + UInt64(round) }
            }
        }
        let figure = try #require(drawn("conversion-latency", of: rows))
        let points = try #require(figure.series("slots")?.points)
        #expect(points.map(\.x) == Row.distributionPercents.filter { $0 <= 99 }.map { $0 / 100 })
        #expect(points.last?.y == 993.5)
        #expect(points.last?.yInterval == Interval(low: 991, high: 996))
        #expect(figure.x.scale == .nines)
        var old = rows
        for index in old.indices { old[index].convertNsCdf = [] }
        #expect(omission("conversion-latency", of: old)?.contains("convert_ns_cdf") == true)
    }

    @Test func misalignmentAndRangesHaveTheirOwnValues() throws {
        let rows = [0, 4096, 1 << 20].map { bytes in
            row("slots", pin: 10 + Double(bytes), write: 1, unpin: 1) { $0.misalignBytes = bytes }
        }
        let misaligned = try #require(drawn("cost-by-misalignment", of: rows))
        #expect(misaligned.x.scale == .steps([0, 4096, 1_048_576]))
        #expect(misaligned.series.map { $0.points.map(\.y) } == [[11, 4107, 1_048_587]])
        #expect(omission("cost-by-ranges", of: rows)?.contains("1 range; give --ranges") == true)
        let scattered = [1, 16].map { count in
            row("slots", pin: Double(count), write: 1, unpin: 1) { $0.ranges = count }
        }
        let ranges = try #require(drawn("cost-by-ranges", of: scattered))
        #expect(ranges.series.map { $0.points.map(\.y) } == [[2, 17], [1, 1]])
    }
}
