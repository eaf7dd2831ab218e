import DmaStatistics
import GuestMemory

@testable import PinLock

/// A long random life of a large guest: pins that overlap, conversions that meet them, against the reference.
struct RandomSequence<Strategy: PinStrategy> {
    private let strategy: Strategy
    private let devices: [Strategy.Device]
    private let seed: UInt64
    private var random: SplitMix64
    private var reference: Reference
    private var held: [Pin] = []
    private var step = 0
    /// The longest range to pin or to convert: `perpage` visits every page of it.
    private let longest: UInt64
    private(set) var pinned = 0
    private(set) var converted = 0

    /// `borders` are where ranges like to begin and to end; `longest` bounds them, in pages.
    init(
        _ strategy: Strategy, devices: Int = 2, borders: [UInt64], longest: UInt64, seed: UInt64
    ) {
        self.strategy = strategy
        self.devices = (0..<devices).map { strategy.pinner(for: DeviceID($0)) }
        self.seed = seed
        self.longest = longest
        random = SplitMix64(seed: seed)
        let pages = strategy.arena.pages.rawValue
        var edges: Set<UInt64> = [0, pages]
        for border in borders {
            let somewhere = UInt64.random(in: 2..<100_000, using: &random)
            for offset in [0, 1, 511, 512, somewhere] {
                edges.insert(min(border + offset, pages))
                edges.insert(border >= offset ? border - offset : 0)
            }
        }
        // With 2 MiB entries, no cell has a part of one and more.
        let inRegion = pagesPerLargeEntry - 1
        for edge in edges where strategy.arena.entrySize == .large {
            edges.formUnion([edge & ~inRegion, min((edge + inRegion) & ~inRegion, pages)])
        }
        reference = Reference(edges: edges.sorted())
        if strategy.arena.entrySize == .large { reference.entries.split = [] }
        reference.entries.pinsCountForTheirEntry = Strategy.self == PerPage.self
    }

    mutating func share(_ range: PageRange) throws {
        try checkConversion(range, to: .shared)
    }

    mutating func run(steps: Int) throws {
        for _ in 0..<steps {
            step += 1
            switch UInt64.random(in: 0..<8, using: &random) {
            case 0..<2: try pin(anyRange())
            case 2..<4: unpin()
            case 4..<6: try checkConversion(anyRange(), to: .private)
            default: try checkConversion(anyRange(), to: .shared)
            }
        }
        try agree(strategy.audit(), nil, "\(self) audit, with \(held.count) pins held")
        while !held.isEmpty { unpin() }
        try agree(
            strategy.arena.splitCount(), UInt64(reference.entries.split?.count ?? 0),
            "\(self) split entries")
    }

    /// Mostly a few cells, sometimes as many as there are.
    private mutating func anyRange() -> PageRange {
        while true {
            let start = Int.random(in: 0..<reference.states.count, using: &random)
            let most = Int.random(in: 0..<4, using: &random) == 0 ? reference.states.count : 4
            let end = min(start + Int.random(in: 1...most, using: &random), reference.states.count)
            let pages = reference.edges[start]..<reference.edges[end]
            if UInt64(pages.count) <= longest { return range(pages) }
        }
    }

    private mutating func pin(_ range: PageRange) throws(Disagreement) {
        let device = devices[Int.random(in: 0..<devices.count, using: &random)]
        var refusal: PinRefusal?
        do throws(PinRefusal) {
            held.append(try device.pin(range))
            pinned += 1
        } catch {
            refusal = error
        }
        try agree(refusal, reference.pinRefusal(range), "\(self) pin of \(range)")
        if refusal == nil { reference.pins.append(range) }
    }

    private mutating func unpin() {
        guard let index = held.indices.randomElement(using: &random) else { return }
        let pin = held.remove(at: index)
        reference.pins.remove(at: index)
        devices[pin.device.rawValue].unpin(pin)
    }

    private mutating func checkConversion(
        _ range: PageRange, to state: PageState
    ) throws(Disagreement) {
        let expected = reference.conversionRefusal(range, to: state)
        try agree(
            strategy.refusalOfConversion(range, to: state), expected,
            "\(self) conversion of \(range) to \(state)")
        guard expected == nil else { return }
        reference.convert(range, to: state)
        converted += 1
    }
}

extension RandomSequence: CustomStringConvertible {
    var description: String {
        """
        \(Strategy.info.name), \(strategy.arena.entrySize) entries, guest of \
        \(strategy.arena.pages), seed \(seed), step \(step):
        """
    }
}
