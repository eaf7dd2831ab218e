import ArgumentParser
import DmaReport

/// The command line. What decides figures is described in Options/; here is what becomes of them.
struct DmaBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dma-bench",
        abstract: "What it costs a virtual device to lock a guest's pages around a DMA.",
        discussion: """
            A guest tells a device to write a buffer. The device, a host process, locks the pages so that none turns \
            private under the write, writes, and unlocks. This measures each step, for every way of locking, and what \
            it costs the guest that converts pages meanwhile; and it checks that no private page was written.

              dma-bench --size 1G --strategy rangetree
              dma-bench --size 4K..1G:x4 --strategy all -o sweep.csv
              dma-bench report sweep.csv -o report.html

            Options marked (list) take a,b,c; those marked (range) also low..high:xN or low..high:+N. The run is the \
            product of all lists. Rows go to standard output as CSV, everything else to standard error.

            Exit status: 0 done, 3 a regression (compare, ab), 4 a strategy that claims safety wrote a private page, 64 usage, 69 the machine lacks \
            something, 70 internal error or a device died, 74 output could not be written, 130 interrupted.
            """,
        version: Build.description,
        subcommands: [
            ServeCommand.self, ReportCommand.self, PlotCommand.self, CompareCommand.self,
            AbCommand.self, Merge.self,
            Strategies.self, OutcomesCommand.self, Env.self, SchemaCommand.self,
        ])

    @OptionGroup var guest: GuestOptions
    @OptionGroup var load: LoadOptions
    @OptionGroup var replay: TraceOptions
    @OptionGroup var conversions: ConversionOptions
    @OptionGroup var machine: DeviceOptions
    @OptionGroup var turns: RunOptions

    @Option(
        parsing: .unconditional,
        help:
            "Take options from a file, one 'name value' a line, # before a comment; the command line wins.",
        completion: .file())
    var job: String?

    @Option(
        parsing: .unconditional, help: "csv, jsonl, table or markdown; default: csv.",
        completion: .names(of: Format.self))
    var format: String?
    @Option(
        name: .shortAndLong, parsing: .unconditional,
        help: "Write rows to a file, and FILE.env.json beside it.",
        completion: .file())
    var output: String?
    @Option(
        parsing: .unconditional,
        help: "Go on with the unfinished run whose rows are in a file; all else as at its start.",
        completion: .file())
    var resume: String?
    @Option(
        parsing: .unconditional, help: "Write a row of CSV for every DMA to a file.",
        completion: .file())
    var raw: String?
    @Option(
        parsing: .unconditional,
        help:
            "Write when the first DMAs and conversions of each turn happened, as Chrome's trace events.",
        completion: .file())
    var timeline: String?
    @Flag(help: "Print what would be run, and run nothing.") var dryRun = false
    @Flag(name: .shortAndLong, help: "No progress, no table for people.") var quiet = false
    @Option(
        parsing: .unconditional,
        help: "Colour on the terminal: auto, always, never (NO_COLOR counts).",
        completion: .list(["auto", "always", "never"]))
    var color = "auto"
    @Option(
        parsing: .unconditional,
        help: "How an error is told: text, or json, one object on a line.",
        completion: .names(of: ErrorFormat.self))
    var errors = "text"

    /// `--job` has been replaced by what its file says when this is parsed, and `--errors` been taken.
    func run() throws {
        try Session(self).run()
    }
}

extension CompletionKind {
    static func names<Choices: CaseIterable & RawRepresentable<String>>(
        of choices: Choices.Type
    ) -> CompletionKind {
        .list(choices.allCases.map(\.rawValue))
    }
}
