import ArgumentParser
import DmaWriter
import Experiment
import Guest
import GuestMemory
import PinLock
import Report
import VirtualDevice

/// The command line. Options are text here; `RequestParser` gives them meaning.
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
            ReportCommand.self, PlotCommand.self, CompareCommand.self, AbCommand.self, Merge.self,
            Strategies.self, OutcomesCommand.self, Env.self, SchemaCommand.self,
        ])

    @Option(parsing: .unconditional, help: "Bytes of one DMA request: 4K, 64M, 1G (range).")
    var size = "1G"
    @Option(
        parsing: .unconditional, help: "Strategies by name, or: all, safe, unsafe (list).",
        completion: .strategies)
    var strategy = "rangetree"
    @Option(
        parsing: .unconditional,
        help: "Pin, write and unpin a request in pieces of so many bytes (range).")
    var chunk: String?
    @Option(parsing: .unconditional, help: "Ranges of a request's scatter-gather list (range).")
    var ranges = "1"
    @Option(
        parsing: .unconditional, help: "Device processes (range).")
    var devices = "1"
    @Option(
        parsing: .unconditional,
        help: "Where their buffers lie: disjoint, same, or adjacent, without a gap.",
        completion: .names(of: MemoryMap.Placement.self))
    var buffers = "disjoint"
    @Option(
        parsing: .unconditional,
        help: "Conversions a second; 0 for none, max for one after the other (range).")
    var convertRate = "1000"
    @Option(parsing: .unconditional, help: "Pages of each conversion (range).") var convertPages =
        "1"
    @Option(
        parsing: .unconditional,
        help:
            "Where conversions are, seen from the buffers: inside, outside, mixed; default: outside, with --strategy unsafe inside.",
        completion: .names(of: Converter.Place.self))
    var convertWhere: String?
    @Option(
        parsing: .unconditional,
        help: "What becomes of a shared page: private, or free, given back to the host.",
        completion: .list(["private", "free"]))
    var convertTo = "private"
    @Option(
        parsing: .unconditional,
        help: "What a conversion gets that meets a pin: deny, wait, revoke (list).",
        completion: .names(of: ConflictPolicy.Kind.self))
    var policy = "deny"
    @Option(
        parsing: .unconditional,
        help:
            "How a conversion waits: poll, its vCPU goes on meanwhile, or block, on a thread that sleeps.",
        completion: .list(["poll", "block"]))
    var convertWait = "poll"
    @Option(
        parsing: .unconditional, help: "How the device writes: nt, movsb, memset, copy (list).",
        completion: .names(of: FillEngine.self))
    var engine = "nt"
    @Option(parsing: .unconditional, help: "Threads of a device that write.") var lanes = "1"
    @Option(
        parsing: .unconditional, help: "Guest memory: memfd, hugetlb-2m, hugetlb-1g, thp (list).",
        completion: .names(of: Backing.self))
    var backing = "memfd"
    @Option(
        parsing: .unconditional, help: "Size of RMP entries: 4K or 2M.",
        completion: .list(["4K", "2M"]))
    var entry = "4K"
    @Option(
        parsing: .unconditional,
        help: "Pool of each device under strategy bounce; default: as large as the request.")
    var pool: String?
    @Option(
        parsing: .unconditional,
        help:
            "What each device under strategy pincache keeps pinned between requests at most; default: as much as the request."
    )
    var cache: String?
    @Option(
        parsing: .unconditional,
        help:
            "Cap on what the devices hold pinned at once, an equal part each; default: none.")
    var pinLimit: String?
    @Option(
        parsing: .unconditional,
        help: "Pages by which buffers miss their natural alignment (range).")
    var misalign = "0"
    @Option(
        parsing: .unconditional, help: "Memory of the guest; default: its buffers, queues and 64M.")
    var guestMemory: String?
    @Option(
        parsing: .unconditional, help: "How device and driver tell each other: poll or eventfd.",
        completion: .list(["poll", "eventfd"]))
    var notify = "poll"
    @Option(
        parsing: .unconditional,
        help:
            "Write-protect private pages in the devices, so that a wrong store is stopped: none, mmu.",
        completion: .list(["none", "mmu"]))
    var enforce = "none"
    @Option(
        parsing: .unconditional,
        help:
            "What a device under strategy fault does that faults: abort, retry, convert-back; default: abort.",
        completion: .names(of: FaultPolicy.self))
    var onFault: String?
    @Flag(help: "Pin and unpin only: no write, for guests far larger than memory.") var noWrite =
        false
    @Option(
        parsing: .unconditional,
        help:
            "Rounds, in each of which every strategy has its turn; default: 10, with --until-stable 50."
    )
    var rounds: String?
    @Option(
        parsing: .unconditional,
        help:
            "End after six rounds or more, when the 95 % interval of every median is within so much of it, as in 2%."
    )
    var untilStable: String?
    @Option(
        parsing: .unconditional,
        help:
            "Go on until every cell has so many rounds that nothing disturbed, for four times --rounds at most."
    )
    var quietOnly: String?
    @Option(
        name: .customLong("repeat"), parsing: .unconditional,
        help:
            "Runs, one after the other into the same output, each with new devices and memory: what compare counts."
    )
    var repetitions = "1"
    @Option(parsing: .unconditional, help: "DMAs per turn; default: 4 or more in 0.2 s.") var ops:
        String?
    @Option(parsing: .unconditional, help: "Seconds per turn, instead of a number of DMAs.")
    var seconds: String?
    @Option(parsing: .unconditional, help: "NUMA node for guest memory; verified.") var memoryNode:
        String?
    @Option(parsing: .unconditional, help: "Processor of the devices; default: the second.")
    var deviceCpu: String?
    @Option(
        parsing: .unconditional,
        help:
            "Processors of the vCPUs, the converter's first (list); default: the first, and what is left."
    )
    var vcpuCpu: String?
    @Option(
        parsing: .unconditional,
        help:
            "vCPUs: one for the converter, the rest for the drivers; default: as many as there are processors for."
    )
    var vcpus: String?
    @Option(parsing: .unconditional, help: "Seed of everything random.") var seed = "1"
    /// Whether a comparison notices: each write is made to take so much longer.
    @Option(parsing: .unconditional, help: .hidden) var testSlowDma: String?

    @Option(
        parsing: .unconditional,
        help: "Run a part of the plan, as in 1/3; strategies of the same cell stay together.")
    var shard: String?

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

    static var strategies: CompletionKind {
        .list(["all", "safe", "unsafe"] + Registry.all.map { $0.info.name })
    }
}
