import DmaReport

/// One HTML page about rows: complete without a network, another file, or a script.
///
/// It is also well-formed XML. The same rows give the same page.
public struct ReportPage {
    private let sources: [ReportSource]
    private let rows: [Row]
    private let lines: [Line]
    private let repeatedCount: Int
    private let generator: String
    private var pictures: PagePictures?

    /// `generator` is the program and its version.
    public init(_ sources: [ReportSource], generator: String) {
        self.sources = sources
        self.generator = generator
        let distinct = DistinctRows(sources.flatMap(\.file.rows))
        rows = distinct.rows
        lines = distinct.cells.map(Line.init)
        repeatedCount = distinct.repeatedCount
    }

    /// Draws what the rows have the data for. Without this the page has no pictures, and says so.
    public mutating func draw(
        looks: StrategyLooks, isInterrupted: () -> Bool
    ) throws(Gnuplot.Failure) {
        let figures = Figures(of: rows, sources: sources.map(\.file.path), looks: looks)
        pictures = try PagePictures(
            figures.drawn, omitted: figures.omitted, isInterrupted: isInterrupted)
    }

    private var cells: [SummaryCell] { lines.map(\.cell) }

    public var html: String {
        PageFrame.html(title: Self.title, generator: generator, sections)
    }

    static let title = "What it costs to lock a guest's pages around a DMA"

    private var sections: [Markup] {
        [
            header, PageFrame.answer(ThreeSentences(rows, cells: cells).all),
            PageFrame.warnings(warnings), table, PagePictures.section(pictures), method, provenance,
        ]
    }

    private var header: Markup {
        """
        <h1>\(Self.title)</h1>
        <p class="dim">\(sources.map(\.file.path).joined(separator: ", ")): \(Human.rows(rows.count)), \
        \(Human.counted(Set(rows.map(\.strategy)).count, "strategy", "strategies"))</p>
        """
    }

    private var warnings: [String] {
        Warnings(rows, lines: lines).all + repetition + unknownColumns
    }

    private var repetition: [String] {
        guard repeatedCount > 0 else { return [] }
        return ["Left out, the same round of the same run again: \(Human.rows(repeatedCount))."]
    }

    private var unknownColumns: [String] {
        sources.filter { !$0.file.unknownColumns.isEmpty }.map { source in
            let names = source.file.unknownColumns.joined(separator: ", ")
            return "\(source.file.path) has columns that this version does not know: \(names)."
        }
    }

    private var table: Markup {
        """
        <section class="table">
        <h2>All figures</h2>
        <p class="dim">Medians over \(rounds), the cheapest strategy first. In small type below a median: where it \
        lies with 95 % confidence, if that can be told and differs. n/a: not measured. Violations are summed.</p>
        \(CellTable(lines).markup)
        </section>
        """
    }

    private var rounds: String {
        let counts = cells.map(\.measured.count)
        let (least, most) = (counts.min() ?? 0, counts.max() ?? 0)
        return least == most ? Human.rounds(most) : "\(least) to \(Human.rounds(most))"
    }

    private var method: Markup {
        """
        <section>
        <h2>What was measured, and how</h2>
        \(Method(rows: rows, cells: cells).markup)
        </section>
        """
    }

    private var provenance: Markup {
        """
        <section>
        <h2>Files and environment</h2>
        \(Provenance(sources: sources).markup)
        <p class="dim">Made by \(generator).</p>
        </section>
        """
    }
}
