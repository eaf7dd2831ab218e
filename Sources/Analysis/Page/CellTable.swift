import Report

/// The page's table: a line for each cell of the plan.
struct CellTable {
    private struct Column: Sendable {
        let title: String
        /// What the title leaves unsaid.
        var meaning = ""
        var isText = false
        let field: @Sendable (SummaryCell) -> Markup
    }

    private let cells: [SummaryCell]
    private let varied: [PlanColumn]
    private let columns: [Column]

    init(_ cells: [SummaryCell]) {
        varied = PlanColumn.varied(in: cells.map(\.plan))
        self.cells = Self.sorted(cells, by: varied)
        columns =
            [Self.strategy] + varied.map { Self.plan($0, of: cells) } + Self.measured(cells)
            + Self.counts(cells)
    }

    /// Cells of one place of the plan together, places in the order of the run; the cheapest first.
    private static func sorted(_ cells: [SummaryCell], by varied: [PlanColumn]) -> [SummaryCell] {
        var places: [[String]: Int] = [:]
        let keyed = cells.map { cell in
            let place = varied.map { $0.text(cell.plan) }
            let number = places[place] ?? places.count
            places[place] = number
            return (place: number, price: cell.syncShare ?? cell.pair ?? .infinity, cell: cell)
        }
        return keyed.sorted { ($0.place, $0.price) < ($1.place, $1.price) }.map(\.cell)
    }

    var markup: Markup {
        let header = columns.map { column -> Markup in
            let style: Markup = column.isText ? " class=\"text\"" : ""
            return "<th scope=\"col\"\(style) title=\"\(column.meaning)\">\(column.title)</th>"
        }
        return """
            <div class="wide" tabindex="0">
            <table id="cells">
            <thead><tr>\(header.joined(separator: ""))</tr></thead>
            <tbody>
            \(cells.indices.map(line).joined())
            </tbody>
            </table>
            </div>
            """
    }

    private func line(_ index: Int) -> Markup {
        func place(_ index: Int) -> [String] { varied.map { $0.text(cells[index].plan) } }
        let startsPlace = index > 0 && place(index) != place(index - 1)
        let start: Markup = startsPlace ? "<tr class=\"first\">" : "<tr>"
        return start + columns.map { $0.field(cells[index]) }.joined(separator: "") + "</tr>"
    }

    // MARK: Columns

    private static let strategy = Column(title: "strategy", isText: true) { cell in
        let mark: Markup = cell.plan.safe ? "" : " <small class=\"unsafe\">unsafe</small>"
        return "<th scope=\"row\" class=\"text\">\(cell.plan.strategy)\(mark)</th>"
    }

    /// Sorted in the order of the plan.
    private static func plan(_ column: PlanColumn, of cells: [SummaryCell]) -> Column {
        let texts = Tally(cells.map { column.text($0.plan) }).entries.map(\.text)
        let ranks = Dictionary(uniqueKeysWithValues: zip(texts, texts.indices))
        return Column(title: column.title) { cell in
            let text = column.text(cell.plan)
            return field(text, sortedBy: ranks[text].map { Double($0) })
        }
    }

    /// Those of which there is anything.
    private static func measured(_ cells: [SummaryCell]) -> [Column] {
        Measure.all.filter { measure in
            cells.contains { $0.measured.contains { measure.value($0) != nil } }
        }.map { measure in
            Column(title: measure.title, meaning: measure.meaning) { cell in
                let sample = measure.sample(of: cell)
                return field(
                    measure.format(sample.median), sortedBy: sample.median,
                    below: measure.interval(sample))
            }
        }
    }

    /// Sums over all rounds, and what is left to say.
    private static func counts(_ cells: [SummaryCell]) -> [Column] {
        var columns: [Column] = []
        if cells.contains(where: { refused($0) ?? 0 > 0 }) {
            columns.append(
                Column(title: "refused", meaning: "DMA requests, all rounds") { cell in
                    count(refused(cell))
                })
        }
        columns.append(
            Column(title: "violations", meaning: "pages, of both kinds, all rounds") { cell in
                count(cell.violations, isBad: cell.isViolated)
            })
        if Set(cells.map(\.measured.count)).count > 1 {
            columns.append(Column(title: "rounds") { count(UInt64($0.measured.count)) })
        }
        if cells.contains(where: { !Remarks.of($0).isEmpty }) {
            columns.append(
                Column(title: "remarks", isText: true) { cell in
                    "<td class=\"text\">\(Remarks.of(cell).joined(separator: "; "))</td>"
                })
        }
        return columns
    }

    private static func refused(_ cell: SummaryCell) -> UInt64? {
        let counts = cell.measured.compactMap(\.refused)
        return counts.isEmpty ? nil : counts.reduce(0, saturatingSum)
    }

    /// `sortedBy` is what the column is sorted by; nil sorts last.
    private static func field(
        _ text: String, sortedBy value: Double?, below: String? = nil, isBad: Bool = false
    ) -> Markup {
        let key: Markup = value.map { " data-v=\"\(JSON($0).compact)\"" } ?? ""
        let style: Markup = isBad ? " class=\"bad\"" : ""
        let second: Markup = below.map { "<small>\($0)</small>" } ?? ""
        return "<td\(key)\(style)>\(text)\(second)</td>"
    }

    private static func count(_ count: UInt64?, isBad: Bool = false) -> Markup {
        field(
            count.map { Human.grouped($0) } ?? Human.missing, sortedBy: count.map { Double($0) },
            isBad: isBad)
    }
}
