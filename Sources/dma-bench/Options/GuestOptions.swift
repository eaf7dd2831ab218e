import ArgumentParser
import Experiment
import GuestMemory
import PinLock
import Settings

/// What is requested, of how many devices, and under which strategies.
struct GuestOptions: RequestOptions {
    @Option(Self.sizeOption) var size = "1G"
    @Option(Self.strategyOption) var strategy = "rangetree"
    @Option(Self.chunkOption) var chunk: String?
    @Option(Self.rangesOption) var ranges = "1"
    @Option(Self.spreadOption) var spread: String?
    @Option(Self.devicesOption) var devices = "1"
    @Option(Self.buffersOption) var buffers = "disjoint"

    static let options: [(RequestOption, @Sendable (Self) -> String?)] = [
        (sizeOption, { $0.size }), (strategyOption, { $0.strategy }), (chunkOption, { $0.chunk }),
        (rangesOption, { $0.ranges }), (spreadOption, { $0.spread }),
        (devicesOption, { $0.devices }),
        (buffersOption, { $0.buffers }),
    ]

    private static let sizeOption = RequestOption(
        "size", "Bytes of one DMA request: 4K, 64M, 1G (range).", .size, varies: \.size
    ).column(\.sizeBytes) { $0.settings.size.bytes.rawValue }

    private static let chunkOption = RequestOption(
        "chunk", "Pin, write and unpin a request in chunks of so many bytes (range).",
        ValueForm.size.orNil, varies: \.chunk
    ).column(\.chunkBytes) { $0.chunk.bytes.rawValue }

    private static let rangesOption = RequestOption(
        "ranges", "Ranges of a request's scatter-gather list (range).", .count(1...(1 << 20)),
        varies: \.ranges
    ).column(\.ranges) { $0.settings.ranges }

    private static let spreadOption = RequestOption(
        "spread", "Draw the ranges from so much memory; packed: one behind the other.", .spread,
        sets: \.spread
    ).column(\.spreadBytes) { $0.settings.drawnFrom?.bytes.rawValue }

    private static let devicesOption = RequestOption(
        "devices", "Device processes (range).", .count(1...UInt64(Arena.deviceCapacity - 1)),
        varies: \.devices
    ).column(\.devices) { $0.settings.devices }

    private static let buffersOption = RequestOption(
        "buffers", "Where their buffers lie: disjoint, same, or adjacent, without a gap.", .cases(),
        sets: \.placement
    ).column(\.buffers) { $0.settings.placement.rawValue }

    private static let strategyOption = RequestOption(
        "strategy", "Strategies by name, or: all, safe, unsafe (list).",
        completion: .list(["all", "safe", "unsafe"] + Registry.all.map { $0.info.name })
    ) { text, request throws(UsageError) in
        var names = Registry.all.map { ($0.info.name, [StrategyID($0)]) }
        names.append(("all", Registry.all.map { StrategyID($0) }))
        for isSafe in [true, false] {
            let chosen = Registry.all.filter { $0.info.isSafe == isSafe }.map { StrategyID($0) }
            names.append((isSafe ? "safe" : "unsafe", chosen))
        }
        let chosen = try Quantity.list(text, option: "--strategy") { name throws(UsageError) in
            try Choice.named(name, option: "--strategy", among: names)
        }.flatMap { $0 }
        var seen: Set<StrategyID> = []
        request.vary(
            \.strategy, over: chosen.filter { seen.insert($0).inserted }, option: "--strategy")
    }.identified { $0.values(of: \.strategy).map { $0.type.info.name }.joined(separator: ",") }
}

extension ValueForm<Spread> {
    fileprivate static var spread: ValueForm {
        ValueForm(
            read: { text, option throws(UsageError) in
                text == "packed" ? .packed : .over(try Quantity.pages(text, option: option))
            },
            word: {
                switch $0 {
                case .usual: ""
                case .packed: "packed"
                case .over(let pages): "\(pages.bytes.rawValue)"
                }
            })
    }
}
