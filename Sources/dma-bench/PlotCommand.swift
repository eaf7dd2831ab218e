import Analysis
import ArgumentParser
import DmaReport

/// Pictures of what earlier runs wrote.
struct PlotCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plot", _superCommandName: "dma-bench",
        abstract: "Draw pictures of rows: SVG and PNG, with gnuplot.",
        discussion: """
            Prints the path of each file that it writes. What the rows have no data for is left out, and named on \
            standard error. A point is a median over rounds; its interval covers that with a confidence of 95 % or \
            more, and needs six rounds. Unsafe strategies are hollow and dotted.
            """)

    @Argument(help: "Files of rows that a run wrote with -o; - is standard input.")
    var files: [String]
    @Option(name: .long, help: "Directory for the pictures; created where it is missing.")
    var out: String
    @Option(help: "Strategies to draw, by name (list); default: all.") var strategy: String?

    func run() throws {
        let figures: Figures
        do throws(InputError) {
            figures = try read()
        } catch {
            throw Failure(.usage, error.description)
        }
        for reason in figures.omitted {
            Status.say("dma-bench: omitted: \(Text.printable(reason))")
        }
        guard !figures.drawn.isEmpty else {
            throw Failure(.usage, "nothing to draw; the lines above say what each picture needs")
        }
        do throws(OutputError) {
            try OutputFile.makeDirectory(out)
        } catch {
            throw Failure(.inputOutput, error.description)
        }
        for figure in figures.drawn {
            for format in Gnuplot.Format.allCases { try draw(figure, format) }
        }
    }

    private func read() throws(InputError) -> Figures {
        var rows: [Row] = []
        for file in files { rows += try RowFile.read(file).rows }
        let wanted = strategy?.split(separator: ",").map(String.init)
        if let unknown = wanted?.first(where: { name in !rows.contains { $0.strategy == name } }) {
            throw InputError(
                files.joined(separator: ", "),
                "no row of strategy '\(unknown)'; name others with --strategy")
        }
        if !rows.isEmpty, rows.allSatisfy({ $0.guest != nil }) {
            throw InputError(
                files.joined(separator: ", "),
                "nothing to draw: these are rows of a real guest or a trace, whose requests have any size, and pictures are of "
                    + "requests of one size; 'report' has a table of them")
        }
        let shown = wanted.map { wanted in rows.filter { wanted.contains($0.strategy) } } ?? rows
        if let problem = Unmeasured.problem(shown) {
            throw InputError(files.joined(separator: ", "), "nothing to draw: \(problem)")
        }
        return Figures(of: rows, sources: files, strategies: wanted, looks: .ofRegistry)
    }

    private func draw(_ figure: Figure, _ format: Gnuplot.Format) throws {
        let path = "\(out)/\(figure.name).\(format.rawValue)"
        do throws(Gnuplot.Failure) {
            try Gnuplot.draw(
                figure, to: path, as: format, isInterrupted: { Interruption.isRequested })
        } catch {
            switch error {
            case .missing, .failed: throw Failure(.unavailable, error.description)
            case .interrupted: throw Failure(.interrupted, error.description)
            case .output: throw Failure(.inputOutput, error.description)
            }
        }
        try Status.print(path + "\n")
    }
}
