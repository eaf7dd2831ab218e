import DmaReport

/// Rows of several machines: what each says by itself, ratios within each, and what holds on all of them. As a page or
/// as text; the same rows give the same.
public struct MachinesReport {
    private let sources: [ReportSource]
    private let machines: [MachineRows]
    private let generator: String
    /// In place, where anything was written; and hot.
    private let comparisons: [MachineComparison]
    private var pictures: PagePictures?

    /// `generator` is the program and its version.
    public init(_ sources: [ReportSource], generator: String) {
        self.sources = sources
        self.generator = generator
        let machines = MachineRows.all(sources)
        self.machines = machines
        comparisons = ComparedCost.allCases.compactMap { MachineComparison(machines, of: $0) }
    }

    /// Draws what the rows have the data for. Without this the page has no pictures, and says so.
    public mutating func draw(isInterrupted: () -> Bool) throws(Gnuplot.Failure) {
        let figures = MachineFigures(machines, comparisons.first, sources: sources.map(\.file.path))
        pictures = try PagePictures(
            figures.drawn, omitted: figures.omitted, isInterrupted: isInterrupted)
    }

    private static let title = "\(ReportPage.title), on several machines"

    private var sentences: [String] { MachineSentences(machines, comparisons.first).all }

    // MARK: As text

    /// `commands` gives the words of the commands by which rows come about.
    public func text(commands: ([Row]) -> [[String]]) -> String {
        var mail = MailLines()
        mail.title(Self.title)
        mail.paragraph(ReportMail.question)
        for sentence in sentences { mail.paragraph(sentence) }
        mail.heading("Machines")
        for machine in machines {
            let facts =
                machine.machine.lines + [
                    "environment \(machine.machine.env)", Unit.run.count(machine.runCount),
                    Human.rows(machine.rows.count),
                ]
            mail.item("\(machine.name): \(facts.joined(separator: "; "))")
        }
        for comparison in comparisons {
            let table = MachineTable(machines, comparison)
            mail.heading(comparison.cost.title)
            mail.table(table.values)
            mail.heading("How many times as much \(comparison.baseline) takes on the same machine")
            mail.table(table.factors)
        }
        mail.item("~ no difference shown, ? fewer than \(Unit.run.fewest) runs, * unsafe")
        mail.heading("The commands, as far as the rows tell them")
        var told: Set<[String]> = []
        for words in machines.flatMap({ commands($0.rows) }) where told.insert(words).inserted {
            mail.command(words)
        }
        mail.heading("Read with care")
        for warning in MachineWarnings.all(machines) { mail.item(warning) }
        mail.heading("Rows")
        for source in sources { ReportMail.tell(source, &mail) }
        mail.paragraph("Made by \(generator).")
        return mail.text
    }

    // MARK: As a page

    public var html: String {
        PageFrame.html(title: Self.title, generator: generator, sections)
    }

    private var sections: [Markup] {
        let shown = comparisons.map { MachineTable(machines, $0) }
        return [
            """
            <h1>\(Self.title)</h1>
            <p class="dim">\(sources.map(\.file.path).joined(separator: ", "))</p>
            """,
            PageFrame.answer(sentences),
            PageFrame.warnings(MachineWarnings.all(machines)),
            machineList,
            """
            <section class="table">
            <h2>Side by side</h2>
            <p class="dim">Medians over runs. In small type: how many times as much \(MachineTable.baselines(shown)) \
            takes on the same machine, in pairs of runs; ~: no difference shown (paired t test of logarithms, p &lt; 0.05 \
            after Holm over all cells of all machines); ?: fewer than \(Unit.run.fewest) runs. Times of two machines are \
            never divided by each other.</p>
            \(MachineTable.markup(shown))
            </section>
            """,
            PagePictures.section(pictures),
            """
            <section>
            <h2>Files and environments</h2>
            \(Provenance(sources: sources).markup)
            <p class="dim">Made by \(generator).</p>
            </section>
            """,
        ]
    }

    private var machineList: Markup {
        let lines = machines.map { machine -> Markup in
            let facts = machine.machine
            return """
                <tr><th class="text">\(machine.name)</th><td class="text">\(facts.processor ?? Human.missing)</td>\
                <td class="text">\(facts.kernel ?? Human.missing)</td><td>\(facts.memory ?? Human.missing)</td>\
                <td>\(machine.runCount)</td><td>\(machine.rows.count)</td>\
                <td class="text"><code>\(facts.env)</code></td></tr>
                """
        }
        return """
            <section>
            <h2>Machines</h2>
            <div class="wide"><table>
            <thead><tr><th></th><th class="text">processor</th><th class="text">kernel</th><th>memory</th><th>runs</th>\
            <th>rows</th><th class="text">environment</th></tr></thead>
            <tbody>
            \(lines.joined())
            </tbody>
            </table></div>
            </section>
            """
    }
}
