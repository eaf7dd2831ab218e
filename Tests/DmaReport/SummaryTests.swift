import Testing

@testable import DmaReport

@Suite struct SummaryTests {
    @Test func tableOf80Columns() {
        let text = Summary(run()).text(width: 80)
        #expect(
            text == """
                p50 of a DMA request, median of 3 rounds
                strategy       pin    write   unpin        sync  denied  conv p99  viol
                perpage    1.00 ms  53.0 ms  550 us       2.8 %    10 %   12.3 us     0
                rangetree    12 ns  53.0 ms   11 ns  0.000043 %    10 %   12.3 us     0
                none*         0 ns  52.0 ms    0 ns         0 %    10 %   12.3 us     0
                * unsafe: makes no claim that private pages stay unwritten
                kernelpin unavailable: no io_uring (3 rows)
                Checking, locking and unlocking 262,144 entries (1 GiB) costs 2.9 % of the write
                with perpage, 0.000043 % with rangetree.

                """)
    }

    /// Under the table, where it matters: a step of ten nanoseconds, and a median of twelve.
    @Test(arguments: [(nil, false), (0.4, false), (10.04, true)] as [(Double?, Bool)])
    func aCoarseClockIsTold(step: Double?, isTold: Bool) {
        var rows = run()
        for index in rows.indices { rows[index].clockStepNs = step }
        let text = Summary(rows).text(width: 200)
        #expect(
            text.contains("the clock counts in steps of 10 ns: a median of a few steps") == isTold)
        for index in rows.indices { (rows[index].pinNsP50, rows[index].unpinNsP50) = (1e6, 1e6) }
        #expect(!Summary(rows).text(width: 200).contains("the clock counts"))
    }

    @Test func tableOf40Columns() {
        let text = Summary(run()).text(width: 40)
        #expect(
            text == """
                p50 of a DMA request, median of 3 rounds
                strategy       pin        sync  viol
                perpage    1.00 ms       2.8 %     0
                rangetree    12 ns  0.000043 %     0
                none*         0 ns         0 %     0
                * unsafe: makes no claim that private
                pages stay unwritten
                kernelpin unavailable: no io_uring (3
                rows)
                Checking, locking and unlocking 262,144
                entries (1 GiB) costs 2.9 % of the write
                with perpage, 0.000043 % with rangetree.

                """)
    }

    @Test func wideTableHasEveryColumn() {
        let lines = Summary(run()).text(width: 200).split(separator: "\n")
        #expect(
            lines[1]
                == "strategy       pin    write   unpin        sync  throughput  conv  denied"
                + "  conv p50  conv p99  viol")
        #expect(
            lines[2]
                == "perpage    1.00 ms  53.0 ms  550 us       2.8 %  18.9 GiB/s   900    10 %"
                + "    450 ns   12.3 us     0")
    }

    /// The longest of all rounds; without any, as above, there are no such columns.
    @Test func whoWasKeptWaitingIsShown() {
        var rows = run()
        let waits: [(Double?, Double?)] = [(nil, 3e6), (2e9, nil), (1e9, 4000)]
        for (round, wait) in waits.enumerated() {
            var row = rows[0]
            row.round = round + 1
            (row.deniedNsMax, row.pinWaitNsMax) = wait
            row.convertWaitNsMax = row.deniedNsMax.map { $0 / 2 }
            rows.append(row)
        }
        let lines = Summary(rows).text(width: 200).split(separator: "\n")
        #expect(lines[1].contains("denied  denied for  conv waits  pin waits  conv p50"))
        let waiting = lines.filter { $0.contains("2.00 s      1.00 s    3.00 ms") }
        #expect(waiting.count == 1, "\(lines)")
    }

    @Test func everyWidthIsKept() {
        for width in 12...200 {
            for line in Summary(run()).text(width: width).split(separator: "\n") {
                #expect(line.count <= width, "\(width): \(line)")
            }
        }
    }

    @Test func colorAddsNothingButEscapes() {
        var rows = run()
        rows[0].violationsPrivate = 2
        let colored = Summary(rows).text(width: 80, color: true)
        #expect(colored.contains("\u{1B}[33mnone*    \u{1B}[0m"))
        #expect(colored.contains("\u{1B}[31m   2\u{1B}[0m"))
        #expect(colored.contains("\u{1B}[1mChecking") || colored.contains("\u{1B}[1mA pin"))
        #expect(colored.replacing(/\u{1B}\[[0-9]+m/, with: "") == Summary(rows).text(width: 80))
    }

    @Test func whatThePlanVariesIsShown() {
        let rows = [UInt64(4096), 1 << 30].map {
            Row.measured("perpage", sizeBytes: $0, pin: 10, write: 1000, unpin: 10)
        }
        let lines = Summary(rows).text(width: 80).split(separator: "\n")
        #expect(lines[0] == "p50 of a DMA request, median of 1 round")
        #expect(lines[1].hasPrefix("strategy   size    pin"))
        #expect(lines[2].hasPrefix("perpage   4 KiB  10 ns"))
        #expect(lines[3].hasPrefix("perpage   1 GiB  10 ns"))
    }

    /// What one cell of a strategy has and another has not, never merged into one median, each in a column.
    @Test(arguments: [
        ("pool", "1 MiB", "whole"), ("cache", "1 MiB", "whole"), ("buffers", "same", "adjacent"),
        ("conv to", "private", "free"), ("enforce", "none", "mmu"), ("on fault", "abort", "retry"),
    ])
    func cellsThatDifferInOneThingAreTwo(title: String, first: String, second: String) {
        func row(_ text: String, pin: Double) -> Row {
            var row = Row.measured("s", pin: pin, write: 1000, unpin: 10)
            switch title {
            case "pool": row.poolBytes = text == "whole" ? row.sizeBytes : 1 << 20
            case "cache": row.cacheBytes = text == "whole" ? 2 * row.sizeBytes! : 1 << 20
            case "buffers": row.buffers = text
            case "conv to": row.convertTo = text
            case "enforce": row.enforce = text
            default: row.onFault = text
            }
            return row
        }
        let lines = Summary([row(first, pin: 10), row(second, pin: 20)]).text(width: 200)
            .split(separator: "\n").map(String.init)
        #expect(lines[1].contains(" \(title)  "))
        #expect(lines[2].contains(" \(first)  10 ns "))
        #expect(lines[3].contains(" \(second)  20 ns "))

        let alike = Summary([row(second, pin: 10), row(second, pin: 20)]).text(width: 200)
            .split(separator: "\n")
        #expect(!alike[1].contains(title) && alike[2].contains(" 15 ns "))
    }

    /// Only one of the strategies has a pool, or a policy on faults: no column, and one sentence for all.
    @Test func whatOneStrategyAloneHasIsNoDifference() {
        let plain = Row.measured("perpage", pin: 1e6, write: 50e6, unpin: 1e6)
        var (bounce, fault) = (plain, plain)
        (bounce.strategy, bounce.poolBytes) = ("bounce", 1 << 20)
        (fault.strategy, fault.onFault) = ("fault", "abort")
        let summary = Summary([plain, bounce, fault])
        let header = summary.text(width: 200).split(separator: "\n")[1]
        for title in ["pool", "on fault"] { #expect(!header.contains(title)) }
        #expect(summary.sentence.contains("entries (1 GiB) costs 4 % of the write with perpage, "))
        #expect(summary.sentence.hasSuffix(" 4 % with bounce, 4 % with fault."))

        // With two pools there is a column; perpage still has none.
        var small = bounce
        small.poolBytes = 4096
        let two = Summary([plain, bounce, small])
        let lines = two.text(width: 200).split(separator: "\n")
        #expect(lines[1].contains(" pool ") && lines[2].contains(" n/a "))
        #expect(two.sentence.contains("entries (1 GiB) costs"))
    }

    @Test func whatNobodyMeasuredIsLeftOut() {
        let rows = [Row.measured("perpage", pin: 1_546_000, write: nil, unpin: 4000)]
        let header = Summary(rows).text(width: 200).split(separator: "\n")[1]
        for title in ["write", "sync", "throughput"] { #expect(!header.contains(title)) }
        #expect(header.contains("unpin"))
    }

    @Test func cutRoundsCountForNothingButANote() {
        var rows = run()
        for (status, round) in [(Row.Status.interrupted, 4), (.failed("a\nb"), 5)] {
            var row = Row.measured("perpage", round: round, pin: 9e9, write: 1, unpin: 9e9)
            row.status = status
            row.noisy = ["cpu"]
            rows.append(row)
        }
        let (text, clean) = (Summary(rows).text(width: 80), Summary(run()).text(width: 80))
        let notes = """
            perpage interrupted (1 row)
            noisy: cpu (2 rows)
            perpage failed: a b (1 row)

            """
        #expect(text.contains(notes))
        #expect(text.replacing(notes, with: "") == clean)
    }

    @Test func countsOfRoundsThatDiffer() {
        let text = Summary(Array(run().dropFirst())).text(width: 80)
        #expect(text.hasPrefix("p50 of a DMA request, median of 2 to 3 rounds\n"))
    }

    /// Four strategies, three rounds each, the second of which is the median.
    private func run() -> [Row] {
        (1...3).flatMap { round in
            let drift = Double(round) / 2
            return [
                Row.measured(
                    "perpage", round: round, pin: 1e6 * drift, write: 53e6, unpin: 0.55e6 * drift),
                Row.measured(
                    "rangetree", round: round, pin: 12 * drift, write: 53e6, unpin: 11 * drift),
                Row.measured("none", safe: false, round: round, pin: 0, write: 52e6, unpin: 0),
                Row.planned("kernelpin", round: round, status: .unavailable("no io_uring")),
            ]
        }
    }
}
