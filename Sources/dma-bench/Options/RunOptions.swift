import ArgumentParser
import Experiment
import Settings

/// How often, how long and where.
struct RunOptions: RequestOptions {
    @Option(Self.roundsOption) var rounds: String?
    @Option(Self.untilStableOption) var untilStable: String?
    @Option(Self.quietOnlyOption) var quietOnly: String?
    @Option(
        name: .customLong("repeat"), parsing: .unconditional,
        help:
            "Runs, one after the other into the same output, each with new devices and memory: what compare counts."
    )
    var repetitions = "1"
    @Option(Self.opsOption) var ops: String?
    @Option(Self.secondsOption) var seconds: String?
    @Option(Self.memoryNodeOption) var memoryNode: String?
    @Option(Self.deviceCpuOption) var deviceCpu: String?
    @Option(Self.vcpuCpuOption) var vcpuCpu: String?
    @Option(Self.vcpusOption) var vcpus: String?
    @Option(Self.seedOption) var seed = "1"
    @Option(Self.testSlowDmaOption) var testSlowDma: String?
    @Option(Self.shardOption) var shard: String?

    /// What decides how many rounds make sense comes before their number.
    static let options: [(RequestOption, @Sendable (Self) -> String?)] = [
        (untilStableOption, { $0.untilStable }), (roundsOption, { $0.rounds }),
        (quietOnlyOption, { $0.quietOnly }), (opsOption, { $0.ops }),
        (secondsOption, { $0.seconds }), (memoryNodeOption, { $0.memoryNode }),
        (deviceCpuOption, { $0.deviceCpu }), (vcpuCpuOption, { $0.vcpuCpu }),
        (vcpusOption, { $0.vcpus }), (seedOption, { $0.seed }),
        (testSlowDmaOption, { $0.testSlowDma }), (shardOption, { $0.shard }),
    ]

    private static let roundsOption = RequestOption(
        "rounds",
        "Rounds, in each of which every strategy has its turn; default: 10, with --until-stable 50."
    ) { text, request throws(UsageError) in
        let least = request.tolerance == nil ? 1 : UInt64(Stability.leastRounds)
        request.rounds = Int(
            try Quantity.count(text, option: "--rounds", in: least...1_000_000))
    }

    private static let untilStableOption = RequestOption(
        "until-stable",
        "End after six rounds or more, when the 95 % interval of every median is within so much of it, as in 2%."
    ) { text, request throws(UsageError) in
        request.tolerance = try ValueForm.share.read(text, "--until-stable")
        request.rounds = 50
    }

    private static let quietOnlyOption = RequestOption(
        "quiet-only",
        "Go on until every cell has so many rounds that nothing disturbed, for four times --rounds at most.",
        ValueForm<Int>.count(1...1000).orNil, ofRun: \.quietRounds, decidesFigures: false)

    private static let opsOption = RequestOption(
        "ops", "DMAs per turn; default: 4 or more in 0.2 s."
    ) { text, request throws(UsageError) in
        request.settings.length = .operations(
            try Quantity.count(text, option: "--ops", in: 1...1 << 40))
    }.identified {
        if case .operations(let count) = $0.settings.length { "\(count)" } else { "" }
    }

    private static let secondsOption = RequestOption(
        "seconds", "Seconds per turn, instead of a number of DMAs."
    ) { text, request throws(UsageError) in
        guard let seconds = Double(text), seconds > 0, seconds <= 86_400 else {
            throw UsageError("--seconds \(text): must be a number above 0, at most 86400")
        }
        guard request.settings.length == .usual else {
            throw UsageError(
                "--ops and --seconds: a turn ends by one of them; leave the other out")
        }
        request.settings.length = .seconds(seconds)
    }.identified {
        if case .seconds(let seconds) = $0.settings.length { "\(seconds)" } else { "" }
    }

    private static let memoryNodeOption = RequestOption(
        "memory-node", "NUMA node for guest memory; verified.",
        ValueForm<Int>.count(0...1023).orNil,
        ofRun: \.memoryNode, decidesFigures: true)

    private static let deviceCpuOption = RequestOption(
        "device-cpu", "Processor of the devices; default: the second.",
        ValueForm<Int>.count(0...1023).orNil, ofRun: \.deviceProcessor, decidesFigures: true)

    private static let vcpuCpuOption = RequestOption(
        "vcpu-cpu",
        "Processors of the vCPUs, the converter's first (list); default: the first, and what is left."
    ) { text, request throws(UsageError) in
        request.vcpuProcessors = try Quantity.list(text, option: "--vcpu-cpu") {
            element throws(UsageError) in
            Int(try Quantity.count(element, option: "--vcpu-cpu", in: 0...1023))
        }
    }.identified { $0.vcpuProcessors.map(String.init).joined(separator: ",") }

    private static let vcpusOption = RequestOption(
        "vcpus",
        "vCPUs: one for the converter, the rest for the drivers; default: as many as there are processors for.",
        ValueForm<Int>.count(1...64).orNil, ofRun: \.vcpus, decidesFigures: true)

    private static let seedOption = RequestOption(
        "seed", "Seed of everything random.", .count(0...UInt64.max), sets: \.seed)

    /// Whether a comparison notices: each write is made to take so much longer.
    private static let testSlowDmaOption = RequestOption(
        "test-slow-dma", .hidden, .share, sets: \.slowdown)

    private static let shardOption = RequestOption(
        "shard", "Run a part of the plan, as in 1/3; strategies of the same cell stay together."
    ) { text, request throws(UsageError) in
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2 else {
            throw UsageError("--shard \(text): write which of how many, as in 1/3")
        }
        let option = "--shard \(text):"
        let count = try Quantity.count(String(parts[1]), option: option, in: 1...100_000)
        let index = try Quantity.count(String(parts[0]), option: option, in: 1...count)
        request.shard = Shard(index: Int(index), count: Int(count))
    }
}
