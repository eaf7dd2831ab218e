import DmaReport
import Testing

@testable import Analysis

@Suite struct SentenceTests {
    @Test func aUsualRun() {
        #expect(
            sentences(usualRows) == [
                "Checking, locking and unlocking 262,144 entries (1 GiB) costs 9.7 % of the write with perpage, "
                    + "0.0034 % with rangetree.",
                "A conversion by the guest meanwhile (1 page, inside the buffers, policy deny) takes, at the 99th "
                    + "percentile and counted from when it was due, 35.0 us with perpage (25 % denied), 35.0 us with "
                    + "rangetree (25 % denied).",
                "No strategy that claims safety wrote a private page or had one converted under its pin; none (unsafe) "
                    + "wrote 10 private pages and had 200 converted under its pin; checked by a ledger of conversions "
                    + "after each write (30 rows) and a canary in each private page (30 rows).",
            ])
    }

    // MARK: The guest

    @Test func withoutConversionsNothingIsSaidOfThem() {
        let rows = usualRows.map { $0.with { ($0.convertRateHz, $0.conversions) = (0, nil) } }
        #expect(sentences(rows)[1].hasPrefix("The guest asked for no conversions"))
        #expect(
            sentences(rows)[2].hasSuffix("but no page was converted: there was nothing to catch."))
    }

    @Test func conversionsThatWereAllDeniedHaveNoTime() {
        let row = Row.measured("longlived").with {
            ($0.conversions, $0.conversionsDenied) = (0, 100)
            ($0.convertNsP50, $0.convertNsP99) = (nil, nil)
        }
        #expect(sentences([row])[1].contains("no known time with longlived (100 % denied)"))
    }

    @Test func theCaughtSpeakWhereThereIsNobodyElse() {
        let rows = usualRows.filter { !$0.safe }
        #expect(
            sentences(rows)[0]
                == "Every strategy measured was caught: there is no cost to compare.")
        #expect(sentences(rows)[1].contains("35.0 us with none (unsafe) (25 % denied)"))
        #expect(
            sentences(rows)[2].hasPrefix(
                "No strategy that was checked claims safety; none (unsafe) wrote"))
    }

    // MARK: Safety

    @Test func aBrokenClaimIsNamed() {
        let broken = Row.measured("rangetree").with {
            ($0.violationsPrivate, $0.status) = (1, .violation)
        }
        let text = sentences(usualRows + [broken])[2]
        #expect(
            text.hasPrefix(
                "rangetree wrote 1 private page and had 0 converted under its pin, though it claims safety; "
            ))
        #expect(!text.contains("No strategy that claims safety"))
    }

    /// What an interrupted round found counts, though its times do not.
    @Test func violationsOfRowsThatWereCutShortCount() {
        let cut = Row.measured("none", safe: false).with {
            ($0.violationsPrivate, $0.violationsStale, $0.status) = (0, 3, .interrupted)
        }
        #expect(
            sentences([.measured(), cut])[2].contains(
                "none (unsafe) wrote 0 private pages and had 3"))
    }

    @Test func withoutAWriteThereAreNoCanaries() {
        let rows = usualRows.filter(\.safe).map { row in
            row.with { ($0.violationsPrivate, $0.writeNsP50, $0.writeBytesPerS) = (nil, nil, nil) }
        }
        #expect(
            sentences(rows)[2]
                == "No page was converted under a pin of a strategy that claims safety; checked by a "
                + "ledger of conversions after each write (20 rows), without canaries, since nothing was written."
        )
        #expect(
            sentences(rows)[0].hasPrefix(
                "A pin and unpin of 262,144 entries (1 GiB) takes 2,910,000 ns"))
    }

    @Test func conversionsOutOfTheWayCatchNothing() {
        let outside = usualRows.filter(\.safe).map { $0.with { $0.convertWhere = "outside" } }
        #expect(sentences(outside)[2].hasSuffix("outside the buffers, out of the devices' way."))
        #expect(!sentences(usualRows)[2].contains("out of the devices' way"))
    }

    // MARK: Nothing

    @Test(arguments: [
        [Row.planned("kernelpin", status: .unavailable("no io_uring"))],
        [Row.planned("none", safe: false, status: .failed("device 0 died"))],
        [Row.planned("perpage", status: .interrupted)], [],
    ])
    func nothingMeasuredIsSaidThreeTimes(rows: [Row]) {
        #expect(
            sentences(rows) == [
                "No cost of synchronisation was measured.",
                "What a conversion costs the guest was not measured.",
                "Whether private pages were written is not known: no row was checked.",
            ])
    }
}
