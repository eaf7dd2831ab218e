import DmaReport
import DmaStatistics

/// A line of the table: a cell of the plan with what was measured of it.
struct Line: Sendable {
    let cell: SummaryCell
    /// One for each of `Measure.all`, in its order.
    let samples: [Sample]
    let remarks: [String]

    init(_ cell: SummaryCell) {
        self.cell = cell
        samples = Measure.all.map { $0.sample(of: cell) }
        remarks = Remarks.of(cell)
    }
}
