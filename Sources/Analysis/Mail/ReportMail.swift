import DmaReport

/// What rows of one environment say, as text to post: the question, the answer, the command, the machine, the table,
/// what was disturbed, and where the rows are. The same rows give the same text.
public struct ReportMail {
    private let sources: [ReportSource]
    private let distinct: DistinctRows
    private let lines: [Line]
    private let generator: String
    private let commands: ([Row]) -> [[String]]

    static let question =
        "Is it prohibitively expensive for a virtual device to check and lock every RMP entry behind a DMA, "
        + "write, and unlock them again?"

    /// `commands` gives the words of the commands by which rows come about; `generator` is the program and its
    /// version.
    public init(
        _ sources: [ReportSource], generator: String, commands: @escaping ([Row]) -> [[String]]
    ) {
        self.sources = sources
        self.generator = generator
        self.commands = commands
        distinct = DistinctRows(sources.flatMap(\.file.rows))
        lines = CellTable.placed(
            distinct.cells.map(Line.init),
            by: PlanColumn.varied(in: distinct.cells.map(\.plan))
        ).map(\.line)
    }

    public var text: String {
        var mail = MailLines()
        mail.title(ReportPage.title)
        mail.paragraph(Self.question)
        for sentence in ThreeSentences(distinct.rows, cells: distinct.cells).all {
            mail.paragraph(sentence)
        }
        mail.heading("The command, as far as the rows tell it")
        for words in commands(distinct.rows) { mail.command(words) }
        mail.heading("Measured on")
        for machine in Machine.of(sources) { Self.tell(machine, &mail) }
        mail.heading("Revision")
        mail.item(
            Tally(distinct.rows.map { $0.revision ?? "unknown" }).entries.map(\.text).joined(
                separator: ", "))
        mail.heading("Medians over \(rounds)")
        mail.table(MailTable.table(lines))
        if lines.contains(where: { !$0.cell.plan.safe }) {
            mail.item("* unsafe: makes no claim that private pages stay unwritten")
        }
        let varied = PlanColumn.varied(in: lines.map(\.cell.plan))
        for line in lines where !line.remarks.isEmpty {
            let place = varied.map { "\($0.title) \($0.text(line.cell.plan))" }
            mail.item(
                ([line.cell.plan.strategy] + place).joined(separator: ", ")
                    + ": \(line.remarks.joined(separator: "; "))")
        }
        mail.heading("Disturbed")
        mail.item(DisturbedRows.text(distinct.rows))
        mail.heading("Rows")
        for source in sources { Self.tell(source, &mail) }
        mail.paragraph("Made by \(generator).")
        return mail.text
    }

    private var rounds: String {
        let counts = distinct.cells.map(\.measured.count)
        let (least, most) = (counts.min() ?? 0, counts.max() ?? 0)
        return (least == most ? "" : "\(least) to ") + Human.rounds(most)
    }

    private static func tell(_ machine: Machine, _ mail: inout MailLines) {
        for line in machine.lines { mail.item(line) }
        mail.item("environment \(machine.env)")
    }

    static func tell(_ source: ReportSource, _ mail: inout MailLines) {
        let isDescribed = (try? source.environment.get()) != nil
        let runs = Set(source.file.rows.map(\.run)).count
        mail.item(
            "\(source.file.path) (\(Human.rows(source.file.rows.count)), \(Human.counted(runs, "run", "runs")))"
                + (isDescribed ? ", with its environment" : ", without its environment"))
    }
}

/// What disturbed rows, as they say themselves.
enum DisturbedRows {
    static func text(_ rows: [Row]) -> String {
        let measured = rows.filter(\.isMeasured)
        let marked = measured.count { !$0.noisy.isEmpty }
        guard marked > 0 else { return "no row of \(measured.count)" }
        let words = Tally(measured.flatMap(\.noisy)).entries.sorted { $0.count > $1.count }
            .map { "\($0.text) \($0.count)" }
        return "\(marked) of \(Human.rows(measured.count)): \(words.joined(separator: ", "))"
    }
}
