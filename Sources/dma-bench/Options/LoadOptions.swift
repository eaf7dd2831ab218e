import ArgumentParser
import Experiment
import Settings

/// When requests come, and how many of them at once.
struct LoadOptions: RequestOptions {
    @Option(Self.rateOption) var dmaRate = "max"
    @Option(Self.arrivalsOption) var dmaArrivals: String?
    @Option(Self.depthOption) var depth = "1"
    @Option(Self.idleOption) var idle = "0"
    @Option(Self.directionOption) var direction = "write"
    @Option(Self.readEngineOption) var readEngine: String?

    static let options: [(RequestOption, @Sendable (Self) -> String?)] = [
        (rateOption, { $0.dmaRate }), (arrivalsOption, { $0.dmaArrivals }),
        (depthOption, { $0.depth }), (idleOption, { $0.idle }),
        (directionOption, { $0.direction }), (readEngineOption, { $0.readEngine }),
    ]

    private static let rateOption = RequestOption(
        "dma-rate",
        "DMA requests a second that fall due for each device; max for one after the other (range).",
        .rate(1...10_000_000), varies: \.dmaRate
    ).column(\.dmaRateHz) {
        let hertz = $0.settings.dmaRate.hertz
        return hertz.isFinite ? hertz : nil
    }

    private static let arrivalsOption = RequestOption(
        "dma-arrivals",
        "How the requests of --dma-rate follow each other: poisson or fixed; default: poisson.",
        .cases(), sets: \.arrivals
    ).column(\.dmaArrivals) {
        $0.settings.dmaRate == .max ? nil : $0.settings.arrivals.rawValue
    }

    private static let depthOption = RequestOption(
        "depth", "Requests of each device in flight (range).", .count(1...256), varies: \.depth
    ).column(\.depth) { $0.settings.depth }

    private static let idleOption = RequestOption(
        "idle", "Pause of a device between two requests, as in 5ms (list).",
        .duration(0...60_000_000_000), varies: \.idleNanoseconds
    ).column(\.idleNs) { Double($0.settings.idleNanoseconds) }

    private static let directionOption = RequestOption(
        "direction",
        "What devices do with guest memory: write, read, or mixed:70, of which 70 in a hundred are reads (list).",
        .direction, varies: \.direction
    ).column(\.direction) { $0.settings.writes ? "\($0.settings.direction)" : nil }

    private static let readEngineOption = RequestOption(
        "read-engine",
        "How the device reads: load, or copy to its own memory (list); default: load.",
        .cases(), varies: \.readEngine
    ).column(\.readEngine) { $0.settings.loads ? $0.settings.readEngine.rawValue : nil }
}

extension ValueForm<Direction> {
    fileprivate static var direction: ValueForm {
        ValueForm(
            read: { text, option throws(UsageError) in
                let parts = text.split(separator: ":", omittingEmptySubsequences: false)
                if parts.count == 2, parts[0] == "mixed" {
                    let share = try Quantity.count(
                        String(parts[1]), option: "\(option) mixed", in: 1...99)
                    return .mixed(reads: share)
                }
                guard text != "mixed" else {
                    throw UsageError(
                        "\(option) mixed: say how many of a hundred requests are reads, as in mixed:70"
                    )
                }
                return try Choice.named(
                    text, option: option,
                    among: [("write", .write), ("read", .read), ("mixed:50", .mixed(reads: 50))])
            },
            word: { "\($0)" }, completion: .list(["write", "read", "mixed:50"]))
    }
}
