import ArgumentParser
import Experiment
import Settings

/// When requests come, and how many of them at once.
struct LoadOptions: RequestOptions {
    @Option(Self.rateOption) var dmaRate = "max"
    @Option(Self.arrivalsOption) var dmaArrivals: String?
    @Option(Self.depthOption) var depth = "1"
    @Option(Self.idleOption) var idle = "0"

    static let options: [(RequestOption, @Sendable (Self) -> String?)] = [
        (rateOption, { $0.dmaRate }), (arrivalsOption, { $0.dmaArrivals }),
        (depthOption, { $0.depth }), (idleOption, { $0.idle }),
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
}
