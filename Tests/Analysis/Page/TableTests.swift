import DmaReport
import Testing

@testable import Analysis

@Suite struct TableTests {
    private func table(_ rows: [Row]) -> String {
        CellTable(SummaryCell.cells(of: rows).map(Line.init)).markup.source
    }

    private func names(_ rows: [Row]) -> [String] {
        table(rows).matches(of: /<th scope="row" class="text">([^<]+?) ?</).map { String($0.1) }
    }

    @Test func oneLineForEachCellTheCheapestFirst() {
        #expect(names(usualRows) == ["none", "rangetree", "perpage"])
        let missing = Row.planned("kernelpin", status: .unavailable("no io_uring"))
        #expect(names([missing] + usualRows) == ["none", "rangetree", "perpage", "kernelpin"])
        #expect(table([missing] + usualRows).contains(">unavailable:no io_uring (1 round)</td>"))
    }

    @Test func placesOfThePlanStayTogether() {
        let sizes: [UInt64] = [1 << 20, 1 << 12]
        let rows = sizes.flatMap { size in
            [
                Row.measured("perpage", sizeBytes: size),
                .measured("rangetree", sizeBytes: size, pin: 9),
            ]
        }
        #expect(names(rows) == ["rangetree", "perpage", "rangetree", "perpage"])
        let text = table(rows)
        #expect(text.matches(of: /<tr class="first">/).count == 1)
        #expect(text.contains("title=\"\">size</th>"))
        #expect(
            text.contains("<td data-v=\"0\">1 MiB</td>")
                && text.contains("<td data-v=\"1\">4 KiB</td>"))
        #expect(!table(usualRows).contains(">size</th>"))
    }

    /// From the second to the ninth of ten; of five nothing can be told.
    @Test func mediansHaveTheirIntervals() {
        #expect(
            table(usualRows).contains("<td data-v=\"505.5\">506 ns<small>502–509 ns</small></td>"))
        let few = usualRows.filter { $0.round < 6 }
        #expect(table(few).contains("<td data-v=\"503\">503 ns</td>"))
    }

    @Test func theUnitIsWrittenTwiceWhereItDiffers() throws {
        let measure = try #require(Measure.all.first { $0.title == "pin" })
        func interval(_ low: Double, _ high: Double) -> String? {
            let rows = (1...6).map { Row.measured(round: $0, pin: $0 == 1 ? low : high) }
            return measure.interval(measure.sample(of: SummaryCell.cells(of: rows)[0]))
        }
        #expect(interval(985, 1020) == "985 ns–1.02 us")
        #expect(interval(1420, 1510) == "1.42–1.51 us")
        #expect(interval(1420, 1420.1) == nil)
    }

    @Test func theUnsafeAndTheCaughtAreMarkedInWords() {
        let text = table(usualRows)
        #expect(text.matches(of: /unsafe<\/small>/).count == 1)
        #expect(text.contains("<td data-v=\"210\" class=\"bad\">210</td>"))
        #expect(text.contains(">10 written while private; 200 converted under a pin</td>"))
    }

    @Test func whatTheGuestNeverGotIsSaid() {
        let row = Row.measured("fault").with { ($0.lostBytes, $0.onFault) = (8192, "abort") }
        #expect(table([row]).contains(">on a fault: abort; 8,192 B never reached the guest</td>"))
        let bounce = Row.measured("bounce").with { ($0.poolBytes, $0.copyNsP50) = (262_144, 61e6) }
        #expect(
            table([bounce]).contains(
                ">pool 256 KiB; the guest's copy: 61.0 ms</td>".replacing("'", with: "&#39;")))
    }

    @Test func missingValuesHaveNoKeyToSortBy() {
        let row = Row.measured("perpage").with { $0.pairHotNs = nil }
        #expect(table([row, .measured("slots")]).contains("<td>n/a</td>"))
    }
}
