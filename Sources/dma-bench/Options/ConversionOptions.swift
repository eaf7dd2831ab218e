import ArgumentParser
import Experiment
import GuestMemory
import Settings

/// What the guest converts meanwhile, and what becomes of it.
struct ConversionOptions: RequestOptions {
    @Option(Self.rateOption) var convertRate = "1000"
    @Option(Self.pagesOption) var convertPages = "1"
    @Option(Self.placeOption) var convertWhere: String?
    @Option(Self.toOption) var convertTo = "private"
    @Option(Self.policyOption) var policy = "deny"
    @Option(Self.waitOption) var convertWait = "poll"

    static let options: [(RequestOption, @Sendable (Self) -> String?)] = [
        (rateOption, { $0.convertRate }), (pagesOption, { $0.convertPages }),
        (placeOption, { $0.convertWhere }), (toOption, { $0.convertTo }),
        (policyOption, { $0.policy }), (waitOption, { $0.convertWait }),
    ]

    private static let rateOption = RequestOption(
        "convert-rate", "Conversions a second; 0 for none, max for one after the other (range).",
        .rate(0...10_000_000), varies: \.convertRate
    ).column(\.convertRateHz) {
        let hertz = $0.settings.convertRate.hertz
        return hertz.isFinite ? hertz : nil
    }.column(\.convertLoop) {
        switch $0.settings.convertRate {
        case 0: nil
        case .max: "closed"
        case .perSecond: "open"
        }
    }

    private static let pagesOption = RequestOption(
        "convert-pages", "Pages of each conversion (range).", .pages(1...PageRange.frameLimit),
        varies: \.convertPages
    ).column(\.convertPages) { $0.settings.convertPages.rawValue }

    private static let placeOption = RequestOption(
        "convert-where",
        "Where conversions are, seen from the buffers: inside, outside, mixed; default: outside, with --strategy unsafe inside.",
        .cases(), sets: \.convertPlace
    ).column(\.convertWhere) { $0.settings.convertPlace.rawValue }

    private static let toOption = RequestOption(
        "convert-to", "What becomes of a shared page: private, or free, given back to the host.",
        .names([("private", false), ("free", true)]), sets: \.frees
    ).column(\.convertTo) { $0.settings.frees ? "free" : "private" }

    private static let policyOption = RequestOption(
        "policy", "What a conversion gets that meets a pin: deny, wait, revoke (list).", .cases(),
        varies: \.policy
    ).column(\.policy) { $0.settings.policy.rawValue }

    private static let waitOption = RequestOption(
        "convert-wait",
        "How a conversion waits: poll, its vCPU goes on meanwhile, or block, on a thread that sleeps.",
        .names([("poll", false), ("block", true)]), sets: \.converterBlocks
    ).column(\.convertWait) {
        $0.settings.convertRate == 0 ? nil : $0.settings.converterBlocks ? "block" : "poll"
    }
}
