import ArgumentParser
import DmaReport
import DmaWriter
import Experiment
import GuestMemory
import PinLock
import Service
import Settings

/// A real guest drives the device.
struct ServeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve", _superCommandName: "dma-bench",
        abstract:
            "Serve a real guest a block device over vhost-user, and measure each strategy's turn.",
        discussion: """
            Listens on a socket for a VMM: QEMU, or another that has vhost-user-blk. Its guest sees a disk. While it \
            uses that, the strategies take turns, each from its first request on, and every turn is a row. A converter \
            changes the state of the guest's pages meanwhile, which the guest does not notice: what is in them stays.

              dma-bench serve --socket /tmp/dma.sock --strategy safe --store memory:1G -o rows.csv

            One VMM at a time; when it goes, or the device dies, the next may come. Ctrl-C ends it: the requests under \
            way are completed, and the rows so far are kept.
            """)

    @Option(
        parsing: .unconditional, help: "Where to listen: the path of a socket to be made.",
        completion: .file())
    var socket: String
    @Option(
        parsing: .unconditional,
        help: "Strategies that take turns, by name, or: all, safe, unsafe (list).",
        completion: .list(["all", "safe", "unsafe"] + Registry.all.map { $0.info.name }))
    var strategy = "rangetree"
    @Option(
        parsing: .unconditional, help: "How long a turn lasts from its first request on: 500ms, 2s."
    )
    var turn = "2s"
    @Option(
        parsing: .unconditional,
        help:
            "Where the data is: null and fill have none, memory:SIZE, file:PATH, null:SIZE and fill:SIZE for a disk of another size than 1G."
    )
    var store = "null"
    @Option(parsing: .unconditional, help: "Queues that the guest is offered.")
    var queues = "1"
    @Flag(
        help:
            "Pages are private until the first request that names them, not shared from the start.")
    var implicit = false
    @Option(
        parsing: .unconditional,
        help: "Conversions a second; 0 for none, max for one after the other.")
    var convertRate = "1000"
    @Option(parsing: .unconditional, help: "Pages of each conversion.")
    var convertPages = "1"
    @Option(
        parsing: .unconditional,
        help:
            "Which pages are converted: inside, what requests have named last; outside, any; mixed.",
        completion: .list(ConversionPlace.allCases.map(\.rawValue)))
    var convertWhere = "mixed"
    @Option(parsing: .unconditional, help: "How long the converter keeps a page: 0, 100us, 5ms.")
    var convertHold = "0"
    @Option(
        parsing: .unconditional,
        help: "What a conversion gets that meets a pin: deny, wait, revoke.",
        completion: .list(ConflictPolicy.Kind.allCases.map(\.rawValue)))
    var policy = "deny"
    @Option(
        parsing: .unconditional,
        help:
            "How long a request waits for a page that is private or in conversion before it fails.")
    var requestTimeout = "1s"
    @Option(
        parsing: .unconditional,
        help: "Room in the shared tables: no page of the guest may be above; they are sparse.")
    var memoryLimit = "64G"
    @Option(
        parsing: .unconditional,
        help: "What the device under strategy pincache keeps pinned at most.")
    var cache = "64M"
    @Option(
        parsing: .unconditional,
        help: "How the device writes with --store fill: nt, stosq, memset, copy, file.",
        completion: .list(FillEngine.allCases.map(\.rawValue)))
    var engine = "nt"
    @Option(parsing: .unconditional, help: "Seed of everything random.")
    var seed = "1"
    @Option(
        parsing: .unconditional, help: "csv, jsonl, table or markdown; default: csv.",
        completion: .names(of: Format.self))
    var format: String?
    @Option(
        name: .shortAndLong, parsing: .unconditional,
        help: "Write rows to a file, and FILE.env.json beside it.", completion: .file())
    var output: String?
    @Option(
        parsing: .unconditional,
        help: "Write down what requests the guest sends: a trace.",
        completion: .file())
    var record: String?
    @Flag(help: "Check what is asked for, and serve nobody.") var dryRun = false
    @Flag(name: .shortAndLong, help: "No progress, no table for people.") var quiet = false

    func run() throws {
        try ServeSession(self).run()
    }
}
