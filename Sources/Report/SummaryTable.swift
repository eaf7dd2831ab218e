/// The aligned table of a summary, made to fit a width.
struct SummaryTable {
    private struct Column {
        let title: String
        /// The lowest is left out first.
        let importance: Int
        var isText = false
        let text: @Sendable (SummaryCell) -> String
        var style: @Sendable (SummaryCell) -> Style = { _ in .plain }
    }

    private let cells: [SummaryCell]
    private let columns: [Column]

    init(_ cells: [SummaryCell]) {
        self.cells = cells
        let varied = PlanColumn.varied(in: cells).map { column in
            Column(title: column.title, importance: 100) { Text.printable(column.text($0.plan)) }
        }
        let measured = Self.measured.filter { column in
            cells.contains { column.text($0) != Human.missing }
        }
        columns = [Self.strategy] + varied + measured
    }

    /// The header and one line per cell, none longer than `width` unless the strategy alone is.
    func lines(width: Int, color: Bool) -> [String] {
        var shown = columns.map { column in
            (column, width: cells.map { column.text($0).count }.reduce(column.title.count, max))
        }
        while shown.reduce(-2, { $0 + 2 + $1.width }) > width, shown.count > 1 {
            let least = shown.indices.dropFirst().reversed().min {
                shown[$0].0.importance < shown[$1].0.importance
            }
            shown.remove(at: least!)
        }
        let header = shown.map { column, width in Self.pad(column.title, column, width) }
        let body = cells.map { cell in
            shown.map { column, width in
                let text = Self.pad(column.text(cell), column, width)
                return color ? column.style(cell).applied(to: text) : text
            }
        }
        return ([header] + body).map { $0.joined(separator: "  ") }
    }

    private static func pad(_ text: String, _ column: Column, _ width: Int) -> String {
        column.isText ? Text.left(text, width) : Text.right(text, width)
    }

    private static let strategy = Column(
        title: "strategy", importance: .max, isText: true,
        text: { Text.printable($0.plan.strategy) + ($0.plan.safe ? "" : "*") },
        style: { $0.plan.safe ? .plain : .yellow })

    private static let measured: [Column] = [
        Column(title: "pin", importance: 8) { Human.duration($0.pin) },
        Column(title: "write", importance: 7) { Human.duration($0.write) },
        Column(title: "unpin", importance: 6) { Human.duration($0.unpin) },
        Column(title: "sync", importance: 101) { Human.percent($0.syncShare) },
        Column(title: "throughput", importance: 3) { Human.throughput($0.throughput) },
        Column(title: "outside", importance: 0) { Human.percent($0.outsideShare) },
        Column(title: "conv", importance: 1) { cell in
            cell.conversions.map { Human.grouped(UInt64(exactly: $0.rounded()) ?? .max) }
                ?? Human.missing
        },
        Column(title: "denied", importance: 5) { Human.percent($0.deniedShare) },
        Column(title: "conv p50", importance: 2) { Human.duration($0.convertP50) },
        Column(title: "conv p99", importance: 4) { Human.duration($0.convertP99) },
        Column(
            title: "viol", importance: 9,
            text: { $0.violations.map { Human.grouped($0) } ?? Human.missing },
            style: { $0.isViolated ? .red : .plain }),
    ]
}

extension PlanColumn {
    /// The columns in which the cells differ.
    package static func varied(in cells: [SummaryCell]) -> [PlanColumn] {
        all.filter { column in Set(cells.map { column.text($0.plan) }).count > 1 }
    }
}
