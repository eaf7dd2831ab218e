import GuestMemory

@testable import PinLock

/// Every table of a small guest x every pin that may be held there x every range: a strategy against the reference.
struct ExhaustiveCheck<Strategy: PinStrategy> {
    private let strategy: Strategy
    private let pages: UInt64
    /// The first one probes; they take turns at holding a pin meanwhile.
    private let devices: [Strategy.Device]
    private var reference: Reference
    private let ranges: [PageRange]

    init(_ strategy: Strategy, devices: Int) {
        self.strategy = strategy
        pages = strategy.arena.pages.rawValue
        self.devices = (0..<devices).map { strategy.pinner(for: DeviceID($0)) }
        reference = Reference(edges: Array(0...pages))
        ranges = everyRange(pages: pages)
    }

    /// Throws the first thing that does not come out as the reference says.
    mutating func run() throws {
        // Each table differs from the one before in one page (Gray code).
        for step in UInt64(1)...(1 << pages) {
            try checkTable()
            let flipped = UInt64(step.trailingZeroBitCount)
            guard flipped < pages else { break }
            let state: PageState =
                reference.states[Int(flipped)] == .shared ? .private : .shared
            try checkConversion(page(flipped), to: state)
        }
        try checkAudit()
    }

    private func checkAudit() throws {
        try agree(strategy.audit(), nil, "\(self) audit")
    }

    private mutating func checkTable() throws {
        try checkProbes()
        let shared = ranges.filter { reference.pinRefusal($0) == nil }
        for (turn, held) in shared.enumerated() {
            let holder = devices[turn % devices.count]
            let pin = try holder.pin(held)
            reference.pins = [held]
            try checkProbes()
            reference.pins = []
            holder.unpin(pin)
        }
        // An audit reads the whole GiB.
        if pages <= 3 { try checkAudit() }
    }

    private mutating func checkProbes() throws(Disagreement) {
        let pastTheEnd = [
            PageRange(start: 0, count: pages + 1), page(pages), page(pages + 7),
            PageRange(start: pages - 1, count: 2),
        ]
        for probe in ranges + pastTheEnd {
            try agree(
                refusalOfPin(probe, by: devices[0]), reference.pinRefusal(probe),
                "\(self) pin of \(probe)")
            for state in [PageState.private, .shared]
            where try checkConversion(probe, to: state) {
                try checkConversion(probe, to: state == .private ? .shared : .private)
            }
        }
        let states = (0..<pages).map { strategy.arena.table.state(of: GFN($0)) }
        try agree(states, reference.states, "\(self) the table in the end")
    }

    /// Returns whether it was carried out.
    @discardableResult
    private mutating func checkConversion(
        _ probe: PageRange, to state: PageState
    ) throws(Disagreement) -> Bool {
        let expected = reference.conversionRefusal(probe, to: state)
        try agree(
            strategy.refusalOfConversion(probe, to: state), expected,
            "\(self) conversion of \(probe) to \(state)")
        if expected == nil { reference.convert(probe, to: state) }
        return expected == nil
    }
}

extension ExhaustiveCheck: CustomStringConvertible {
    /// The combination at hand.
    var description: String {
        let table = reference.states.map { $0 == .shared ? "s" : "p" }.joined()
        let held = reference.pins.map { "\($0)" }.joined(separator: ", ")
        return """
            \(Strategy.info.name), \(strategy.arena.entrySize) entries, table \(table), \
            held [\(held)]:
            """
    }
}
