import DmaReport

/// The few columns that a mail has room for.
enum MailTable {
    private typealias Column = FittedTable<Line>.Column

    static func table(_ lines: [Line]) -> FittedTable<Line> {
        let varied = PlanColumn.varied(in: lines.map(\.cell.plan)).map { column in
            Column(title: column.title, importance: 100) { column.text($0.cell.plan) }
        }
        let measured = Measure.all.indices.filter { index in
            lines.contains { $0.samples[index].count > 0 }
        }.map { index in
            let measure = Measure.all[index]
            return Column(title: measure.title, importance: importance(measure)) {
                measure.format($0.samples[index].median)
            }
        }
        let violations = Column(title: "viol", importance: 9) {
            $0.cell.violations.map { Human.grouped($0) } ?? Human.missing
        }
        return FittedTable(lines, [strategy] + varied + measured + [violations])
    }

    private static let strategy = Column(title: "strategy", importance: .max, isText: true) {
        $0.cell.plan.strategy + ($0.cell.plan.safe ? "" : "*")
    }

    /// The sync share is the answer; tails and denials belong to other questions.
    private static func importance(_ measure: Measure) -> Int {
        switch measure.title {
        case "sync share": 101
        case "pin", "write", "unpin": 8
        case "hot pair": 7
        case "conv. p50": 6
        default: 5
        }
    }
}
