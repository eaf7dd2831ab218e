@testable import Analysis
@testable import DmaReport

// What is made of rows, as anybody may have edited them: comparisons, pictures and a page, whatever the numbers are;
// never a trap, never a loop. Rows.swift asks whether they are read as they should be.

@c(LLVMFuzzerTestOneInput)
public func fuzzAnalysis(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: start, count: count))
    guard let file = try? RowFile(bytes, path: "f", acceptingCutEnd: true), !file.rows.isEmpty
    else {
        return 0
    }
    let half = file.rows.count / 2
    let comparisons = [
        Comparison(
            base: Array(file.rows[...half]), new: Array(file.rows[half...]), metrics: Metric.all,
            threshold: 0.05),
        Comparison(file.rows, column: "strategy", metrics: Metric.all, threshold: nil),
    ]
    for comparison in comparisons {
        for format in Format.allCases {
            let text = comparison.text(format, width: 100)
            precondition(comparison.cells.isEmpty || !text.isEmpty, "cells, and nothing to say")
        }
    }
    for figure in Figures(of: file.rows, sources: ["f"], looks: StrategyLooks([])).drawn {
        for format in Gnuplot.Format.allCases {
            let script = Drawing(figure).script(format)
            precondition(script.hasSuffix("\n"), "half a picture")
        }
    }
    let source = ReportSource(
        file: file, environment: .failure(InputError("f.env.json", "none")))
    let page = ReportPage([source], generator: "fuzz").html
    precondition(page.hasSuffix("</html>\n"), "half a page")
    return 0
}
