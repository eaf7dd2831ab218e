/// How rows are written.
///
/// `csv` and `jsonl` hold every column, `table` and `markdown` the few that people read.
public enum Format: String, CaseIterable, Sendable {
    case csv
    case jsonl
    case table
    case markdown

    /// What comes before the first row, with its line ends; empty for `jsonl`.
    public var header: String {
        switch self {
        case .csv: CSV.line(Schema.columns.map(\.name))
        case .jsonl: ""
        case .table: Self.aligned(TableColumn.all.map(\.title))
        case .markdown:
            Self.piped(TableColumn.all.map(\.title))
                + Self.piped(TableColumn.all.map { $0.isText ? "---" : "---:" })
        }
    }

    /// The row with its line end; a line alone, except that a quoted text of CSV may hold breaks.
    public func line(_ row: Row) -> String {
        switch self {
        case .csv: CSV.line(Schema.columns.map { CSV.text($0.value(of: row)) })
        case .jsonl:
            JSON.object(Schema.columns.map { .init($0.name, $0.value(of: row)) }).compact + "\n"
        case .table: Self.aligned(TableColumn.all.map { $0.text(row) })
        case .markdown: Self.piped(TableColumn.all.map { $0.text(row) })
        }
    }

    private static func aligned(_ fields: [String]) -> String {
        let padded = zip(TableColumn.all, fields).map { column, field in
            column.isText ? Text.left(field, column.width) : Text.right(field, column.width)
        }
        return padded.joined(separator: "  ") + "\n"
    }

    static func piped(_ fields: [String]) -> String {
        let escaped = fields.map { field in
            field.split(separator: "|", omittingEmptySubsequences: false).joined(separator: "\\|")
        }
        return "| " + escaped.joined(separator: " | ") + " |\n"
    }
}

/// A column of `table` and `markdown`. Rows come one at a time, so that the widths are fixed.
private struct TableColumn: Sendable {
    let title: String
    let width: Int
    let isText: Bool
    let text: @Sendable (Row) -> String

    init(
        _ title: String, _ width: Int, isText: Bool = false,
        _ text: @escaping @Sendable (Row) -> String
    ) {
        self.title = title
        self.width = width
        self.isText = isText
        self.text = { Text.printable(text($0)) }
    }

    static let all: [TableColumn] = [
        TableColumn("round", 5) { String($0.round) },
        TableColumn("strategy", 12, isText: true) { $0.strategy },
        TableColumn("size", 8) { Human.size(bytes: $0.sizeBytes) },
        TableColumn("pin p50", 7) { Human.duration($0.pinNsP50) },
        TableColumn("data p50", 8) { Human.duration($0.writeNsP50) },
        TableColumn("unpin p50", 9) { Human.duration($0.unpinNsP50) },
        TableColumn("sync share", 10) { Human.percent($0.syncShare) },
        TableColumn("throughput", 10) { Human.throughput($0.writeBytesPerS) },
        TableColumn("conversions", 11) { Human.count($0.conversions) },
        TableColumn("denied", 6) { Human.count($0.conversionsDenied) },
        TableColumn("conv p50", 8) { Human.duration($0.convertNsP50) },
        TableColumn("conv p99", 8) { Human.duration($0.convertNsP99) },
        TableColumn("violations", 10) { Human.count($0.violations) },
        TableColumn("status", 0, isText: true) { $0.status.description },
    ]
}

extension Row {
    /// Violations of both kinds; nil where neither was looked for.
    package var violations: UInt64? {
        guard violationsPrivate != nil || violationsStale != nil else { return nil }
        return saturatingSum(violationsPrivate ?? 0, violationsStale ?? 0)
    }
}

package func saturatingSum(_ left: UInt64, _ right: UInt64) -> UInt64 {
    let (sum, overflow) = left.addingReportingOverflow(right)
    return overflow ? .max : sum
}
