/// The columns of a summary's table.
struct SummaryTable {
    private typealias Column = FittedTable<SummaryCell>.Column

    private let table: FittedTable<SummaryCell>

    init(_ cells: [SummaryCell]) {
        let varied = PlanColumn.varied(in: cells.map(\.plan)).map { column in
            Column(title: column.title, importance: 100) { column.text($0.plan) }
        }
        let transfers = Set(cells.map(\.transfer))
        let transfer = transfers.count == 1 ? transfers.first! : "write or read"
        let measured = Self.measured(transfer).filter { column in
            cells.contains { column.text($0) != Human.missing }
        }
        table = FittedTable(cells, [Self.strategy] + varied + measured)
    }

    /// The header and one line per cell, none longer than `width` unless the strategy alone is.
    func lines(width: Int, color: Bool) -> [String] { table.lines(width: width, color: color) }

    private static let strategy = Column(
        title: "strategy", importance: .max, isText: true,
        text: { $0.plan.strategy + ($0.plan.safe ? "" : "*") },
        style: { $0.plan.safe ? .plain : .yellow })

    private static func measured(_ transfer: String) -> [Column] {
        [
            Column(title: "pin", importance: 8) { Human.duration($0.pin) },
            Column(title: transfer, importance: 7) { Human.duration($0.write) },
            Column(title: "unpin", importance: 6) { Human.duration($0.unpin) },
            Column(title: "sync", importance: 101) { Human.percent($0.syncShare) },
            Column(title: "throughput", importance: 3) { Human.throughput($0.throughput) },
            Column(title: "outside", importance: 0) { Human.percent($0.outsideShare) },
            Column(title: "conv", importance: 1) { cell in
                cell.conversions.map { Human.grouped(UInt64(exactly: $0.rounded()) ?? .max) }
                    ?? Human.missing
            },
            Column(title: "denied", importance: 5) { Human.percent($0.deniedShare) },
            Column(title: "denied for", importance: 5) { Human.duration($0.longestDenial) },
            Column(title: "conv waits", importance: 5) { Human.duration($0.longestConvertWait) },
            Column(title: "pin waits", importance: 5) { Human.duration($0.longestPinWait) },
            Column(title: "conv p50", importance: 2) { Human.duration($0.convertP50) },
            Column(title: "conv p99", importance: 4) { Human.duration($0.convertP99) },
            Column(
                title: "viol", importance: 9,
                text: { $0.violations.map { Human.grouped($0) } ?? Human.missing },
                style: { $0.isViolated ? .red : .plain }),
        ]
    }
}
