import DmaReport
import Testing

@testable import Analysis

@Suite struct ComparisonTextTests {
    private var comparison: Comparison {
        let steady: [Double] = [100, 101, 102, 103, 104, 105, 106, 107]
        return Comparison(
            base: Synthetic.runs(steady, size: 4096) + Synthetic.runs(steady, size: 8192)
                + Synthetic.runs(steady, of: "rangetree", size: 4096),
            named: "a.csv",
            new: Synthetic.runs(steady.map { $0 * 1.5 }, size: 4096)
                + Synthetic.runs(steady.map { $0 * 0.25 }, size: 8192),
            named: "b.csv", metrics: [.standard], threshold: 0.05)
    }

    @Test func table() {
        #expect(
            comparison.text(.table, width: 100) == """
                b.csv against a.csv, by runs: medians, the ratio of their geometric means and its 95 % interval; p:
                Welch's t test of logarithms, adjusted for 2 comparisons (Holm)
                strategy   size      of    base     new   ratio              95 %        p  would show  verdict
                perpage   4 KiB  8 runs  104 ns  155 ns   1.500    1.462 to 1.539  <0.0001         3 %   slower
                perpage   8 KiB  8 runs  104 ns   26 ns  0.2500  0.2437 to 0.2564  <0.0001         3 %   faster
                only in a.csv: size 4 KiB: rangetree

                """)
    }

    @Test func everyWidthIsKept() {
        for width in 20...110 {
            let lines = comparison.text(.table, width: width).split(separator: "\n")
            #expect(lines.allSatisfy { $0.count <= width }, "\(width)")
            #expect(lines.contains { $0.hasPrefix("perpage") && $0.hasSuffix("slower") })
        }
    }

    @Test func markdownHasEveryColumn() {
        #expect(
            comparison.text(.markdown, width: 20).contains(
                """


                | strategy | size | of | base | new | ratio | 95 % | p | would show | verdict |
                | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
                | perpage | 4 KiB | 8 runs | 104 ns | 155 ns | 1.500 | 1.462 to 1.539 | <0.0001 | 3 % | slower |

                """))
    }

    @Test func csvAndJSONHaveEveryValue() throws {
        let lines = comparison.text(.csv, width: 20).split(separator: "\n")
        let names = lines[0].split(separator: ",").map(String.init)
        let fields = lines[1].split(separator: ",", omittingEmptySubsequences: false)
        #expect(lines.count == 3 && names.count == fields.count)
        let row = Dictionary(uniqueKeysWithValues: zip(names, fields))
        #expect(row["base"] == "a.csv" && row["size_bytes"] == "4096" && row["pool_bytes"] == "")
        #expect(row["base_median"] == "103.5" && row["new_count"] == "8" && row["unit"] == "run")
        let ratio = try #require(row["ratio"].flatMap { Double($0) })
        #expect(abs(ratio - 1.5) < 1e-12)
        #expect(row["verdict"] == "slower" && row["regression"] == "true")
        // The larger ratio has the smaller p, which Holm doubles.
        let p = try #require(row["p"].flatMap { Double($0) })
        #expect(row["p_holm"].flatMap { Double($0) } == p)

        let json = comparison.text(.jsonl, width: 20).split(separator: "\n")
        #expect(json.count == 2 && json[0].hasPrefix(#"{"base":"a.csv","strategy":"perpage","#))
        #expect(json[0].hasSuffix(#""verdict":"slower","regression":true}"#))
    }

    /// Names of strategies, of files and what ended a row are anybody's.
    @Test func nothingControlsATerminal() {
        let bad = "x\u{1B}[31m\n"
        let (rows, ended) = (
            Synthetic.runs([1, 2], of: bad), Synthetic.row(bad, status: .failed(bad))
        )
        let texts = [
            Comparison(
                base: rows + [ended], named: bad, new: Synthetic.runs([1, 2], of: "y"), named: bad,
                metrics: [.standard], threshold: nil),
            Comparison(
                rows + Synthetic.runs([1, 2]), column: "strategy", metrics: [.standard],
                threshold: nil),
        ]
        for comparison in texts {
            for format in [Format.table, .markdown] {
                let text = comparison.text(format, width: 80)
                #expect(text.contains("x [31m") && !text.contains("\u{1B}"), "\(text)")
            }
            #expect(!comparison.notes.joined().contains { $0 < " " })
        }
    }

    @Test func severalMetricsAreNamed() {
        let rows = Synthetic.rows([1, 2, 3, 4, 5, 6])
        let metrics = Metric.all.filter { ["dma_ns_p50", "pin_ns_p50"].contains($0.name) }
        let text = Comparison(
            base: rows, new: rows, metrics: metrics, threshold: nil
        ).text(.table, width: 200)
        // Nobody measured the other one.
        #expect(!text.contains("  metric"))
        #expect(text.contains("base: no pin_ns_p50 (6 rounds)\n"))
    }

    @Test func theColumnComparedIsAlwaysShown() {
        let rows = ["deny", "wait"].flatMap { policy in
            Synthetic.rows([1, 2, 3]).map {
                var row = $0
                row.policy = policy
                return row
            }
        }
        let text = Comparison(rows, column: "policy", metrics: [.standard], threshold: nil)
            .text(.table, width: 200)
        #expect(text.contains("perpage     wait "))
        #expect(text.hasPrefix("policy against deny, in pairs of runs or rounds: "))
    }
}
