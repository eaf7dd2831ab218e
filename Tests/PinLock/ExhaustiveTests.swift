import GuestMemory
import Testing

@testable import PinLock

@Suite struct ExhaustiveTests {
    /// A guest without a page has no ranges: there is nothing to do.
    @Test(arguments: [UInt64(0), 1, PageRange.frameLimit - 1])
    func noRangeIsEmpty(start: UInt64) {
        #expect(PageRange(checkingStart: start, count: 0) == nil)
    }

    @Test(arguments: Candidate.safe, [1, 2])
    func everyRangeOverEveryTable(_ candidate: Candidate, devices: Int) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            for pages in UInt64(1)...(devices == 1 ? 6 : 8) {
                var check = ExhaustiveCheck(
                    try make(Strategy.self, pages: pages), devices: devices)
                try check.run()
            }
        }
        try check(candidate.type)
    }

    /// The same with a 2 MiB entry that has been split.
    @Test(arguments: Candidate.safe)
    func everyRangeOverEveryTableOfASplitEntry(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            for pages in UInt64(2)...6 {
                let strategy = try make(
                    Strategy.self, pages: pages, entrySize: .large, sharing: page(0))
                try strategy.convert(page(0), to: .private)
                #expect(try strategy.arena.splitCount() == 1)
                var check = ExhaustiveCheck(strategy, devices: 2)
                try check.run()
            }
        }
        try check(candidate.type)
    }

    /// Every conversion of a whole 2 MiB entry under every pin, each time from a fresh start.
    @Test(arguments: Candidate.safe, [PageState.private, .shared])
    func everyRangeOverAWholeEntry(_ candidate: Candidate, state: PageState) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let pages: UInt64 = 6
            let whole = range(0..<pages)
            var arena = try Arena.create(pages: PageCount(pages), entrySize: .large)
            for held in [nil] + (state == .shared ? everyRange(pages: pages) : []) {
                for probe in everyRange(pages: pages) {
                    arena = try arena.reset(pages: arena.pages, entrySize: .large)
                    let strategy = Strategy(arena: arena)
                    if state == .shared { try strategy.convert(whole, to: .shared) }
                    var check = WholeEntryCheck(strategy, holding: held)
                    try check.run(probe, to: state == .shared ? .private : .shared)
                }
            }
        }
        try check(candidate.type)
    }
}

/// One conversion of a part of a whole 2 MiB entry, under a pin or none, and what is left of it.
private struct WholeEntryCheck<Strategy: PinStrategy> {
    private let strategy: Strategy
    private let held: PageRange?
    private var reference: Reference

    init(_ strategy: Strategy, holding held: PageRange?) {
        self.strategy = strategy
        self.held = held
        let pages = strategy.arena.pages.rawValue
        reference = Reference(edges: Array(0...pages))
        reference.entries = LargeEntries(
            split: [], pinsCountForTheirEntry: Strategy.self == PerPage.self)
        reference.convert(range(0..<pages), to: strategy.arena.table.state(of: GFN(0)))
    }

    mutating func run(_ probe: PageRange, to state: PageState) throws {
        let what = "\(Strategy.info.name), pinned \(String(describing: held)), \(probe) to \(state)"
        let holder = strategy.pinner(for: DeviceID(0))
        let pin = try held.map { try holder.pin($0) }
        if let held { reference.pins = [held] }
        let expected = reference.conversionRefusal(probe, to: state)
        try agree(strategy.refusalOfConversion(probe, to: state), expected, what)
        if expected == nil { reference.convert(probe, to: state) }

        let device = strategy.pinner(for: DeviceID(1))
        for other in everyRange(pages: strategy.arena.pages.rawValue) {
            try agree(
                refusalOfPin(other, by: device), reference.pinRefusal(other),
                "\(what), then a pin of \(other)")
        }
        try agree(
            strategy.arena.splitCount(), UInt64(reference.entries.split!.count), "\(what), splits")
        if let pin { holder.unpin(pin) }
    }
}
