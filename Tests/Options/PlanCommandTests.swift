import DmaReport
import Experiment
import GuestMemory
import Settings
import Testing

@testable import dma_bench

/// The commands of rows: they plan the same again, and hold nothing that a row's author made up.
@Suite struct PlanCommandTests {
    private func rows(_ request: Request) throws -> [Row] {
        let plan = try Plan(request.withTrace())
        let nowhere = Environment(revision: "", stable: .null, volatile: .null)
        let builder = RowBuilder(runName: "r", environment: nowhere, plan: plan)
        return plan.cells.map { builder.planned($0, round: 1, position: 1) }
    }

    private func words(_ texts: [String: String]) throws -> [String] {
        try #require(PlanCommand.words(of: rows(Request(texts))).first)
    }

    /// Whatever an option may say: reads, no writes, and a trace included.
    @Test func theCommandOfRowsPlansThemAgain() throws {
        let shown = Set(Schema.cellColumns.map(\.option)).union(["--no-write"])
        for option in DmaBench.requestOptions where shown.contains(option.option) {
            let planned = try rows(pair(option).changed)
            let commands = PlanCommand.words(of: planned)
            try #require(commands.count == 1 && commands[0][0] == "dma-bench")
            let again = try rows(DmaBench.parse(Array(commands[0].dropFirst())).request())
            #expect(again.map(\.cell) == planned.map(\.cell), "\(commands[0])")
        }
    }

    @Test func whereNothingWritesThereIsNoEngine() throws {
        let read = try words(["size": "1M", "direction": "read"])
        #expect(read.contains("read") && !read.contains("--engine"))
        #expect(!read.contains("--no-write") && !read.contains("--read-engine"))
        let pins = try words(["size": "1M", "no-write": "yes"])
        #expect(pins.contains("--no-write") && !pins.contains("--engine"))
        let mixed = try words(["size": "1M", "direction": "mixed:70", "read-engine": "copy"])
        #expect(!mixed.contains("--no-write") && mixed.contains("--read-engine"))
    }

    @Test func ofATraceItIsNamed() throws {
        let replayed = try words(["trace": "/a/guest.csv", "speed": "2,max"])
        #expect(
            replayed == [
                "dma-bench", "--trace", "/a/guest.csv", "--speed", "2,max", "--strategy",
                "rangetree", "--rounds", "1",
            ])
        #expect(
            try rows(Request(["trace": "guest.csv"])).first?.trace
                == "guest.csv@\(Text.hash("guest.csv").prefix(8))")
        for name in ["guest.csv", "guest@home.csv", "@", "a@b@12345678.csv", "a@1234567x"] {
            #expect(ReplayedTrace.name(in: name) == name)
            #expect(ReplayedTrace.name(in: name + "@0123cdef") == name)
        }
        // One that only reads has no engine, and no direction: what it reads with tells it from one without data.
        var row = try #require(rows(Request(["trace": "guest.csv"])).first)
        (row.engine, row.readEngine) = ("none", "copy")
        #expect(
            PlanCommand.words(of: [row]) == [
                [
                    "dma-bench", "--trace", "guest.csv", "--read-engine", "copy", "--strategy",
                    "rangetree", "--rounds", "1",
                ]
            ])
    }

    /// The texts of a row are anybody's.
    @Test func whatNoOptionTakesIsLeftOut() throws {
        let bad = "x;touch /tmp/pwned \u{1B}[31m #"
        let texts: [WritableKeyPath<Row, String?>] = [
            \.engine, \.backing, \.buffers, \.dmaArrivals, \.direction, \.readEngine,
            \.convertTo, \.enforce, \.onFault, \.speed, \.store,
        ]
        for guest in [nil, "vhost-user"] {
            var row = try #require(rows(Request(["size": "1M"])).first)
            row.guest = guest
            for text in texts { row[keyPath: text] = bad }
            (row.policy, row.convertWhere, row.strategy) = (bad, bad, bad)
            (row.devices, row.convertRateHz, row.idleNs) = (-3, -.infinity, .nan)
            (row.convertHoldNs, row.queues) = (1e300, -1)
            let start = ["dma-bench"] + (guest == nil ? [] : ["serve", "--socket", "SOCKET"])
            let words = try #require(PlanCommand.words(of: [row]).first)
            #expect(
                words == start + (guest == nil ? ["--size", "1M", "--rounds", "1"] : []),
                "\(words)")
        }
    }

    @Test func ofARealGuestTheServiceIsNamed() throws {
        var row = Row()
        (row.strategy, row.policy, row.guest) = ("pincache", "wait", "vhost-user")
        (row.store, row.queues, row.engine) = ("fill", 4, "copy")
        (row.convertRateHz, row.convertPages, row.convertWhere) = (50, 2, "outside")
        (row.convertHoldNs, row.cacheBytes) = (100_000, 32 << 20)
        let words = try #require(PlanCommand.words(of: [row]).first)
        #expect(
            words == [
                "dma-bench", "serve", "--socket", "SOCKET", "--store", "fill", "--queues", "4",
                "--policy", "wait", "--convert-rate", "50", "--convert-pages", "2",
                "--convert-where", "outside", "--convert-hold", "100000ns", "--cache", "32M",
                "--engine", "copy", "--strategy", "pincache",
            ])
        let request = try ServeCommand.parse(Array(words.dropFirst(2))).request().request
        #expect(request.hold == 100_000 && request.queues == 4)
        #expect(request.cache.bytes == ByteCount(32 << 20))
        // Its defaults are not those of a run.
        (row.convertWhere, row.convertHoldNs, row.cacheBytes) = ("mixed", 0, 64 << 20)
        let usual = PlanCommand.words(of: [row])[0]
        for option in ["--convert-where", "--convert-hold", "--cache"] {
            #expect(!usual.contains(option))
        }
    }
}
