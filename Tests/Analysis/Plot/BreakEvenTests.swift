import DmaReport
import DmaStatistics
import Testing

@testable import Analysis

/// Where one way of locking begins to be cheaper than another.
@Suite struct BreakEvenTests {
    /// In round r a long-lived pin takes 1100 ns more at set-up and saves 9 + r ns per DMA.
    private let once: [Row] = (1...6).flatMap { round in
        [
            row("longlived", round: round, pin: 20, write: 1, unpin: 20) { $0.setupPinNs = 1600 },
            row("rangetree", round: round, pin: 20, write: 1, unpin: 29 + Double(round)) {
                $0.setupPinNs = 500
            },
            // It saves nothing against a strategy that does nothing.
            row("none", round: round, safe: false, pin: 20, write: 1, unpin: 20) {
                $0.setupPinNs = 500
            },
        ]
    }

    @Test func aLongLivedPinPaysAfterItsSetUpOverWhatItSaves() throws {
        let figure = try #require(drawn("break-even-longlived", of: once))
        #expect(figure.series.map(\.name) == ["rangetree"])
        let point = try #require(figure.series[0].points.first)
        // From 1100 / 10 to 1100 / 15 DMAs; the middle two are 1100 / 12 and 1100 / 13.
        #expect(abs(point.y - (1100.0 / 12 + 1100.0 / 13) / 2) < 1e-9)
        #expect(point.yInterval == Interval(low: 1100.0 / 15, high: 110))
        #expect(figure.y.quantity == .count)
    }

    /// In one round of six nothing is saved: the interval has no end. In four of six: there is no median.
    @Test func whatNeverPaysIsNotDrawn() throws {
        func spoilt(_ rounds: Int) -> [Row] {
            once.map { row in
                var row = row
                if row.strategy == "rangetree", row.round <= rounds { row.unpinNsP50 = 20 }
                return row
            }
        }
        let figure = try #require(drawn("break-even-longlived", of: spoilt(1)))
        #expect(figure.series[0].points.count == 1)
        #expect(figure.series[0].points[0].yInterval == nil)
        #expect(omission("break-even-longlived", of: spoilt(4))?.contains("saves nothing") == true)
        #expect(
            omission("break-even-longlived", of: sweep)?.contains("no row of the strategy") == true)
    }

    @Test func bounceIsAMultipleOfTheOthersRoundByRound() throws {
        let rows = (1...6).flatMap { round in
            [
                row("bounce", round: round, pin: 5, write: 1, unpin: 5) {
                    $0.copyNsP50 = 90
                    $0.poolBytes = $0.sizeBytes
                },
                row("kernelpin", round: round, pin: 100, write: 1, unpin: 100 * Double(round)),
            ]
        }
        let figure = try #require(drawn("break-even-bounce", of: rows))
        #expect(figure.series.map(\.name) == ["kernelpin", "equal"])
        let point = figure.series[0].points[0]
        // 100 / 200 to 100 / 700.
        #expect(abs(point.y - (100.0 / 400 + 100.0 / 500) / 2) < 1e-12)
        #expect(point.yInterval == Interval(low: 1.0 / 7, high: 0.5))
        #expect(figure.y.quantity == .factor)
    }
}
