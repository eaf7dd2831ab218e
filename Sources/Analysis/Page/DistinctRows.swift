import DmaReport

/// The rows of several files, each measured round once: the same file twice says no more than once.
struct DistinctRows {
    let rows: [Row]
    let cells: [SummaryCell]
    /// Rows that were left out.
    let repeatedCount: Int

    init(_ read: [Row]) {
        var cells = SummaryCell.cells(of: read)
        if cells.contains(where: Self.isRepeating) {
            cells = cells.map { SummaryCell(rows: Self.once($0.rows)) }
            rows = cells.flatMap(\.rows)
        } else {
            rows = read
        }
        self.cells = cells
        repeatedCount = read.count - rows.count
    }

    private static func isRepeating(_ cell: SummaryCell) -> Bool {
        Set(cell.measured.map(\.roundID)).count < cell.measured.count
    }

    private static func once(_ rows: [Row]) -> [Row] {
        var seen: Set<RoundID> = []
        return rows.filter { !$0.isMeasured || seen.insert($0.roundID).inserted }
    }
}
