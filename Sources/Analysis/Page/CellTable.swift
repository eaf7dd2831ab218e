import DmaReport

/// The page's table: a line for each cell of the plan.
struct CellTable {
    private struct Column: Sendable {
        let title: String
        /// What the title leaves unsaid.
        var meaning = ""
        var isText = false
        let field: @Sendable (Line) -> Markup
    }

    private let lines: [Line]
    /// For each line, which choices of the plan it stands for; equal where they are.
    private let places: [Int]
    private let columns: [Column]

    init(_ lines: [Line]) {
        let varied = PlanColumn.varied(in: lines.map(\.cell.plan))
        let placed = Self.placed(lines, by: varied)
        self.lines = placed.map(\.line)
        places = placed.map(\.place)
        columns =
            [Self.strategy] + varied.map { Self.plan($0, of: lines) } + Self.measured(lines)
            + Self.counts(lines)
    }

    /// Lines of one place of the plan together, places in the order of the run; the cheapest first.
    static func placed(
        _ lines: [Line], by varied: [PlanColumn]
    ) -> [(place: Int, line: Line)] {
        var places: [[String]: Int] = [:]
        let keyed = lines.map { line in
            let key = varied.map { $0.text(line.cell.plan) }
            let place = places[key] ?? places.count
            places[key] = place
            let price = line.cell.syncShare ?? line.cell.pair ?? .infinity
            return (place: place, price: price, line: line)
        }
        return keyed.sorted { ($0.place, $0.price) < ($1.place, $1.price) }
            .map { ($0.place, $0.line) }
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
            \(lines.indices.map(row).joined())
            </tbody>
            </table>
            </div>
            """
    }

    private func row(_ index: Int) -> Markup {
        let startsPlace = index > 0 && places[index] != places[index - 1]
        let start: Markup = startsPlace ? "<tr class=\"first\">" : "<tr>"
        return start + columns.map { $0.field(lines[index]) }.joined(separator: "") + "</tr>"
    }

    // MARK: Columns

    private static let strategy = Column(title: "strategy", isText: true) { line in
        let mark: Markup = line.cell.plan.safe ? "" : " <small class=\"unsafe\">unsafe</small>"
        return "<th scope=\"row\" class=\"text\">\(line.cell.plan.strategy)\(mark)</th>"
    }

    /// Sorted in the order of the plan.
    private static func plan(_ column: PlanColumn, of lines: [Line]) -> Column {
        let texts = Tally(lines.map { column.text($0.cell.plan) }).entries.map(\.text)
        let ranks = Dictionary(uniqueKeysWithValues: zip(texts, texts.indices))
        return Column(title: column.title) { line in
            let text = column.text(line.cell.plan)
            return field(text, sortedBy: ranks[text].map { Double($0) })
        }
    }

    /// Those of which there is anything.
    private static func measured(_ lines: [Line]) -> [Column] {
        Measure.all.indices.filter { index in lines.contains { $0.samples[index].count > 0 } }
            .map { index in
                let measure = Measure.all[index]
                return Column(title: measure.title, meaning: measure.meaning) { line in
                    let sample = line.samples[index]
                    return field(
                        measure.format(sample.median), sortedBy: sample.median,
                        below: measure.interval(sample))
                }
            }
    }

    /// Sums over all rounds, and what is left to say.
    private static func counts(_ lines: [Line]) -> [Column] {
        var columns: [Column] = []
        if lines.contains(where: { refused($0) ?? 0 > 0 }) {
            columns.append(
                Column(title: "refused", meaning: "DMA requests, all rounds") { line in
                    count(refused(line))
                })
        }
        columns.append(
            Column(title: "violations", meaning: "pages, of both kinds, all rounds") { line in
                count(line.cell.violations, isBad: line.cell.isViolated)
            })
        if Set(lines.map(\.cell.measured.count)).count > 1 {
            columns.append(Column(title: "rounds") { count(UInt64($0.cell.measured.count)) })
        }
        if lines.contains(where: { !$0.remarks.isEmpty }) {
            columns.append(
                Column(title: "remarks", isText: true) { line in
                    "<td class=\"text\">\(line.remarks.joined(separator: "; "))</td>"
                })
        }
        return columns
    }

    private static func refused(_ line: Line) -> UInt64? {
        let counts = line.cell.measured.compactMap(\.refused)
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
