import DmaReport
import Testing

@testable import Analysis

@Suite struct WarningTests {
    private func warnings(_ rows: [Row]) -> [String] {
        Warnings(rows, lines: SummaryCell.cells(of: rows).map(Line.init)).all
    }

    @Test func aQuietRunHasNone() {
        #expect(warnings(usualRows) == [])
    }

    @Test func eachKindIsSaidOnce() {
        let noisy = usualRows.map {
            $0.with { $0.noisy = $0.round < 3 ? ["cpu", "warmup"] : ["cpu"] }
        }
        let texts = warnings(noisy)
        #expect(texts.count == 2)
        #expect(texts[0].hasPrefix("noisy=cpu in 30 of 30 rows: "))
        #expect(texts[1].hasPrefix("noisy=warmup in 6 of 30 rows: "))
    }

    @Test func aBrokenClaimComesFirst() {
        let broken = Row.measured("rangetree", round: 11).with {
            ($0.violationsStale, $0.status, $0.noisy) = (1, .violation, ["cpu"])
        }
        #expect(
            warnings(usualRows + [broken])[0]
                == "rangetree claims safety and broke it, in 1 row. This is a bug.")
    }

    @Test func fewRoundsAreSaid() {
        let texts = warnings(usualRows.filter { $0.strategy != "perpage" || $0.round < 6 })
        #expect(texts == ["1 of 3 lines have fewer than six rounds, which give no 95 % interval."])
        #expect(warnings(usualRows.filter { $0.round < 7 }) == [])
    }

    @Test func mixturesAreSaid() {
        let other = usualRows.map { $0.with { ($0.env, $0.run) = ("fedcba9876543210", "r2") } }
        let texts = warnings(usualRows + other)
        #expect(texts[0].hasPrefix("Rows of 2 environments "))
        #expect(texts[1].hasPrefix("2 runs are taken together."))
    }

    @Test func whatWasNotMeasuredIsSaidWithItsReason() {
        let rows = [
            Row.planned("kernelpin", status: .unavailable("no io_uring")),
            .planned("kernelpin", round: 2, status: .unavailable("no io_uring")),
            .planned("perpage", status: .interrupted),
            .planned("rpc", status: .failed("device 0 died")),
        ]
        #expect(
            warnings(usualRows + rows) == [
                "kernelpin: unavailable:no io_uring (2 rows).", "perpage: interrupted (1 row).",
                "rpc: failed:device 0 died (1 row).",
            ])
    }

    @Test func aSlowFirstRoundAndOutliersAreCounted() {
        let rows = usualRows.map { row in
            row.with {
                guard $0.round == 1, $0.strategy == "perpage" else { return }
                ($0.dmaNsP50, $0.pinNsP50) = (90e6, 60e6)
            }
        }
        let texts = warnings(rows)
        #expect(texts.count == 2)
        #expect(texts[0].hasPrefix("In 1 of 3 lines the first round's DMAs took longer "))
        #expect(texts[1].hasSuffix("all kept: pin 1."))
    }
}
