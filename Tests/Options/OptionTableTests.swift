import DmaReport
import Experiment
import Settings
import Testing
import Trace

@testable import dma_bench

/// What each option may say that it does not say by itself; with it the strategy that makes use of it.
private let texts: [String: (text: String, strategy: String)] = [
    "size": ("2M", "rangetree"), "strategy": ("perpage", "perpage"), "chunk": ("8K", "rangetree"),
    "ranges": ("2", "rangetree"), "devices": ("2", "rangetree"), "buffers": ("same", "rangetree"),
    "convert-rate": ("max", "rangetree"), "convert-pages": ("2", "rangetree"),
    "convert-where": ("mixed", "rangetree"), "convert-to": ("free", "rangetree"),
    "policy": ("wait", "rangetree"), "convert-wait": ("block", "rangetree"),
    "engine": ("copy", "rangetree"), "lanes": ("2", "rangetree"), "backing": ("thp", "rangetree"),
    "entry": ("2M", "rangetree"), "pool": ("512K", "bounce"), "cache": ("512K", "pincache"),
    "pin-limit": ("8M", "rangetree"), "misalign": ("3", "rangetree"),
    "guest-memory": ("256M", "rangetree"), "notify": ("eventfd", "rangetree"),
    "enforce": ("mmu", "rangetree"), "on-fault": ("retry", "fault"),
    "no-write": ("yes", "rangetree"),
    "rounds": ("7", "rangetree"), "until-stable": ("2%", "rangetree"),
    "quiet-only": ("3", "rangetree"), "ops": ("5", "rangetree"), "seconds": ("0.5", "rangetree"),
    "memory-node": ("0", "rangetree"), "device-cpu": ("0", "rangetree"),
    "vcpu-cpu": ("0", "rangetree"), "vcpus": ("1", "rangetree"), "seed": ("2", "rangetree"),
    "test-slow-dma": ("5%", "rangetree"), "shard": ("1/1", "rangetree"),
    "spread": ("64M", "rangetree"), "dma-rate": ("1000", "rangetree"),
    "dma-arrivals": ("fixed", "rangetree"), "depth": ("4", "rangetree"),
    "idle": ("5ms", "rangetree"), "direction": ("read", "rangetree"),
    "read-engine": ("copy", "rangetree"), "trace": ("guest.csv", "rangetree"),
    "speed": ("max", "rangetree"),
]

/// What has to be said besides, for an option to mean anything.
private let conditions = [
    "spread": ["ranges": "2"], "dma-arrivals": ["dma-rate": "1000"],
    "read-engine": ["direction": "read"], "speed": ["trace": "guest.csv"],
]

extension Request {
    /// As if the file of its trace were there.
    func withTrace() -> Request {
        guard let path = tracePath else { return self }
        var (request, trace) = (self, Trace())
        trace.append(due: 0, .write, [TraceSegment(address: 1 << 20, byteCount: 4096)])
        request.trace = ReplayedTrace(trace, name: path, identity: Text.hash(path))
        // A trace's requests have their own.
        request.settings.size = TurnSettings().size
        return request
    }
}

/// A small request, and the same with the option's text.
func pair(_ option: RequestOption) throws -> (plain: Request, changed: Request) {
    let (text, strategy) = try #require(texts[option.name], "no text for \(option.option)")
    var all = ["size": "1M"].merging(conditions[option.name] ?? [:]) { $1 }
    if option.name != "strategy" { all["strategy"] = strategy }
    let plain = try Request(all)
    all[option.name] = text
    return (plain, try Request(all))
}

@Suite struct OptionTableTests {
    private let options = DmaBench.requestOptions

    @Test func namesAreUnique() {
        #expect(Set(options.map(\.name)).count == options.count)
        #expect(Set(texts.keys) == Set(options.map(\.name)))
    }

    /// Whoever adds a setting adds an option that sets it.
    @Test func everySettingHasAnOption() throws {
        func values(_ settings: TurnSettings) -> [String: String] {
            Dictionary(
                uniqueKeysWithValues: Mirror(reflecting: settings).children.map {
                    ($0.label!, "\($0.value)")
                })
        }
        var set: Set<String> = []
        for option in options {
            let (plain, changed) = try pair(option)
            let before = values(plain.settings)
            set.formUnion(values(changed.settings).filter { before[$0.key] != $0.value }.keys)
        }
        #expect(set == Set(values(TurnSettings()).keys))
    }

    /// A resumed run goes on with figures of the same kind: the plan's hash knows all that decides them, and nothing
    /// that only says how much of the plan is run.
    @Test func identityKnowsWhatDecidesFigures() throws {
        let extent = ["rounds", "until-stable", "quiet-only", "shard"]
        var seen: Set<String> = []
        for option in options {
            let (plain, changed) = try pair(option)
            if extent.contains(option.name) {
                #expect(plain.identity == changed.identity, "\(option.option)")
            } else {
                #expect(seen.insert(changed.identity).inserted, "\(option.option)")
                #expect(plain.identity != changed.identity, "\(option.option)")
            }
        }
    }

    /// From version to version: a hash in a file is told from another by it.
    @Test func identityIsMadeOfNamesAndValues() throws {
        #expect(
            try Request(["size": "64K..1M:x4", "strategy": "none,slots", "ops": "9"]).identity
                == "size=65536,262144,1048576;strategy=none,slots;chunk=;ranges=1;spread=;devices=1;"
                + "buffers=disjoint;dma-rate=max;dma-arrivals=poisson;depth=1;idle=0ns;direction=write;read-engine=load;trace=;speed=1;convert-rate=1000;convert-pages=1;convert-where=outside;"
                + "convert-to=private;policy=deny;convert-wait=poll;engine=nt;lanes=1;backing=memfd;"
                + "entry=4K;pool=;cache=;pin-limit=;misalign=0;guest-memory=;notify=poll;enforce=none;"
                + "on-fault=abort;no-write=no;ops=9;seconds=;memory-node=;device-cpu=;vcpu-cpu=;vcpus=;"
                + "seed=1;test-slow-dma=0.0")
    }

    /// `--resume` names the option by the column that differs.
    @Test func columnsShowTheirOptions() throws {
        for (column, name) in Schema.cellColumns where name != "--strategy" {
            let option = try #require(options.first { $0.option == name }, "\(name)")
            let (plain, changed) = try pair(option)
            func text(_ request: Request) throws -> String {
                var row = Row()
                for option in options {
                    option.fill(try Plan(request.withTrace()).cells[0], &row)
                }
                return CSV.text(column.value(of: row))
            }
            #expect(try text(plain) != text(changed), "\(name) and \(column.name)")
        }
    }

    /// Defaults are said in the help and in the settings' type.
    @Test func withoutTextsItIsTheUsualRequest() throws {
        let written = try DmaBench.parse([]).request()
        #expect(written.settings == TurnSettings())
        #expect(written.identity == Request().identity)
        #expect(written.rounds == Request().rounds)
    }
}
