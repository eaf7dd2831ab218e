import Analysis
import ArgumentParser
import DmaReport
import Experiment

/// What rows answer, as one page or as text.
struct ReportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Say what rows answer, as one HTML page or as text for a mail.",
        discussion: """
            The page needs no network and no other file. FILE.env.json beside a file is shown with it. --format text \
            is for a mail: 72 columns, no tabs. Rows of several environments are put side by side, a column each, with \
            ratios within each and what holds on all. Exit status: 64 where a file cannot be read, 69 where gnuplot is missing, 74 \
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
    @Flag(help: "Take rows of different environments for those of one machine.") var force = false

    func run() throws {
        let sources: [ReportSource]
        do throws(InputError) {
            sources = try files.map(ReportSource.read)
        } catch {
            throw Failure(.usage, error.description)
        }
        let rows = sources.flatMap(\.file.rows)
        if let problem = Unmeasured.problem(rows) {
            throw Failure(.usage, "\(files.joined(separator: ", ")): \(problem)")
        }
        let isOfSeveral = !force && Set(rows.map(\.env)).count > 1
        let text =
            switch (try chosenFormat(), isOfSeveral) {
            case (.html, false): try page(sources)
            case (.html, true): try pageOfMachines(sources)
            case (.text, false):
                ReportMail(sources, generator: Build.description, commands: PlanCommand.words).text
            case (.text, true):
                MachinesReport(sources, generator: Build.description)
                    .text(commands: PlanCommand.words)
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

    private func page(_ sources: [ReportSource]) throws -> String {
        var page = ReportPage(sources, generator: Build.description)
        if !noPictures {
            try drawing { () throws(Gnuplot.Failure) in
                try page.draw(looks: .ofRegistry, isInterrupted: { Interruption.isRequested })
            }
        }
        return page.html
    }

    private func pageOfMachines(_ sources: [ReportSource]) throws -> String {
        var report = MachinesReport(sources, generator: Build.description)
        if !noPictures {
            try drawing { () throws(Gnuplot.Failure) in
                try report.draw(isInterrupted: { Interruption.isRequested })
            }
        }
        return report.html
    }

    private func drawing(_ draw: () throws(Gnuplot.Failure) -> Void) throws {
        do throws(Gnuplot.Failure) {
            try draw()
        } catch {
            switch error {
            case .interrupted: throw Failure(.interrupted, error.description)
            default:
                throw Failure(.unavailable, "\(error); or do without, with --no-pictures")
            }
        }
    }
}

/// What a report can be.
enum ReportFormat: String, CaseIterable {
    case html
    case text
}
