import Analysis
import ArgumentParser
import Experiment
import Report

/// What rows answer, as one page or as text.
struct ReportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Make one HTML page of rows: the answer, all figures, how they were measured.",
        discussion: """
            The page needs no network and no other file. FILE.env.json beside a file is shown with it. --format text \
            is for a mail: 72 columns, no tabs. Exit status: 64 \
            where a file cannot be read or its rows do not belong with the others, 69 where gnuplot is missing, 74 \
            where the page cannot be written.
            """)

    @Argument(help: "Files of rows, CSV or JSON lines; - for standard input.") var files: [String]
    @Option(
        name: .shortAndLong, parsing: .unconditional,
        help: "Write the page to a file; default: standard output.")
    var output: String?
    /// A run's own `-o`, wherever it stands, is this one.
    @ParentCommand var root: DmaBench
    @Option(
        parsing: .unconditional, help: "html, or text, to post; default: html.",
        completion: .names(of: ReportFormat.self))
    var format: String?
    @Flag(help: "Leave the pictures out, for which gnuplot is needed.") var noPictures = false
    @Flag(help: "Take rows of different environments together.") var force = false

    func run() throws {
        let sources: [ReportPage.Source]
        do throws(InputError) {
            sources = try files.map(ReportPage.Source.read)
        } catch {
            throw Failure(.usage, error.description)
        }
        try refuse(sources)
        let text =
            switch try chosenFormat() {
            case .html: try page(sources)
            case .text:
                ReportMail(sources, generator: Build.description, commands: PlanCommand.words).text
            }
        guard let output = output ?? root.output else { return try Status.print(text) }
        do throws(OutputError) {
            try OutputFile.replace(output, with: Array(text.utf8))
        } catch {
            throw Failure(.inputOutput, error.description)
        }
    }

    private func chosenFormat() throws(Failure) -> ReportFormat {
        do throws(UsageError) {
            return try Choice.named(
                format ?? root.format ?? "html", option: "--format",
                among: ReportFormat.allCases.map { ($0.rawValue, $0) })
        } catch {
            throw Failure(.usage, error.description)
        }
    }

    private func page(_ sources: [ReportPage.Source]) throws -> String {
        var page = ReportPage(sources, generator: Build.description)
        if !noPictures { try draw(&page) }
        return page.html
    }

    private func draw(_ page: inout ReportPage) throws {
        do throws(Gnuplot.Failure) {
            try page.draw(looks: .ofRegistry, isInterrupted: { Interruption.isRequested })
        } catch {
            switch error {
            case .interrupted: throw Failure(.interrupted, error.description)
            default:
                throw Failure(.unavailable, "\(error); or do without, with --no-pictures")
            }
        }
    }

    /// Medians over two machines would be those of neither.
    private func refuse(_ sources: [ReportPage.Source]) throws {
        let rows = sources.flatMap(\.file.rows)
        if let problem = Unmeasured.problem(rows) {
            throw Failure(.usage, "\(files.joined(separator: ", ")): \(problem)")
        }
        guard !force, let first = rows.first, let other = rows.first(where: { $0.env != first.env })
        else { return }
        throw Failure(
            .usage,
            """
            rows of the environments \(first.env) and \(other.env) are not one measurement; report them apart, \
            or take them together with --force
            """)
    }
}

/// What a report can be.
enum ReportFormat: String, CaseIterable {
    case html
    case text
}
