import DmaLinux
import DmaStatistics
import GuestMemory
import Synchronization
import Testing

@testable import PinLock

/// What unsafe strategies owe all the same, and how each is caught at what it does not.
@Suite struct UnsafeTests {
    private let oracle = Oracle(watching: Set(0..<8))
    private var violations: Int { oracle.violations.load(ordering: .relaxed) }

    // MARK: As any strategy

    @Test(arguments: Candidate.unsafe)
    func tokensSayWhoPinnedWhat(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
            let device = strategy.pinner(for: DeviceID(3))
            let pin = try device.pin(range(2..<5))
            #expect(pin.range == range(2..<5) && pin.device == DeviceID(3))
            device.unpin(pin)
            #expect(strategy.arena.livePins == 0)
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }

    @Test(arguments: Candidate.unsafe)
    func aDeadDevicesPinsAreTakenBack(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
            _ = try strategy.pinner(for: DeviceID(0)).pin(range(2..<5))
            _ = try strategy.recover(DeviceID(0), until: .now)
            #expect(strategy.arena.livePins == 0)
            #expect(try strategy.audit() == nil)
            try strategy.convert(range(0..<8), to: .private)
        }
        try check(candidate.type)
    }

    /// While nobody pins.
    @Test(arguments: Candidate.unsafe, [EntrySize.small, .large])
    func conversionsAgreeWithTheReference(_ candidate: Candidate, entrySize: EntrySize) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let pages: UInt64 = 6
            let strategy = try make(Strategy.self, pages: pages, entrySize: entrySize)
            var reference = Reference(edges: Array(0...pages))
            var random = SplitMix64(seed: 6)
            for _ in 0..<2000 {
                let range = everyRange(pages: pages + 1).randomElement(using: &random)!
                let state: PageState = Bool.random(using: &random) ? .shared : .private
                let expected = reference.conversionRefusal(range, to: state)
                try #require(
                    strategy.refusalOfConversion(range, to: state) == expected,
                    "\(range) to \(state)")
                if expected == nil { reference.convert(range, to: state) }
            }
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }

    // MARK: Caught

    @Test func noneLetsAPageBecomePrivateUnderAWrite() throws {
        let strategy = try make(None.self, pages: 8, sharing: range(0..<8))
        let pin = try strategy.pinner(for: DeviceID(0)).pin(page(0))
        oracle.beginWrite(pin.range)
        try convert(page(0), on: strategy)
        #expect(violations > 0)
    }

    /// A freeze stops the pin between its two steps.
    @Test func toctouPinsAPageThatBecamePrivateSinceItLooked() throws {
        try convertInTheMiddleOfAPin(make(Toctou.self, pages: 8, sharing: range(0..<8)), oracle)
        #expect(violations > 0)
    }

    /// A device comes while the conversion is about to commit: the pages are still open.
    @Test func srcuLetsAPinInWhileItConverts() throws {
        let strategy = try make(SRCUv5.self, pages: 8, sharing: range(0..<8))
        let device = strategy.pinner(for: DeviceID(0))
        var hooks = oracle.hooks
        let willCommit = hooks.willCommit
        hooks.willCommit = { [oracle] range, state in
            guard let pin = try? device.pin(range) else { return }
            oracle.beginWrite(pin.range)
            willCommit(range, state)
        }
        #expect(strategy.refusalOfConversion(page(0), to: .private, hooks: hooks) == nil)
        #expect(violations > 0)
    }

    /// It waits for the pin there was, and not for the one that came meanwhile.
    @Test func srcuWaitsForEarlierReadersOnly() throws {
        let strategy = try make(SRCUv5.self, pages: 8, sharing: range(0..<8))
        let device = strategy.pinner(for: DeviceID(0))
        let earlier = try device.pin(range(0..<4))
        var later: Pin?
        let result = try duringConversion(
            on: strategy, of: page(1), policy: .wait(until: .never)
        ) {
            waitUntil { strategy.hasWaiter }
            later = try device.pin(page(1))
            device.unpin(earlier)
        }
        #expect(result == .success(.waited))
        #expect(strategy.arena.table.state(of: GFN(1)) == .private)
        device.unpin(try #require(later))
        #expect(try strategy.audit() == nil)
    }

    /// Under both policies: it has no way to refuse, but it does not wait for ever.
    @Test func srcuGivesUp() throws {
        let strategy = try make(SRCUv5.self, pages: 8, sharing: range(0..<8))
        _ = try strategy.pinner(for: DeviceID(0)).pin(range(2..<4))
        #expect(strategy.refusalOfConversion(range(0..<8), to: .private) == .deadlinePassed(GFN(2)))
        #expect(
            strategy.refusalOfConversion(range(3..<8), to: .private, policy: .wait(until: .now))
                == .deadlinePassed(GFN(3)))
        #expect(try strategy.audit() == nil)
    }

    /// Chance decides when; it always has within a few lives.
    @Test func noneIsCaughtByTraffic() throws {
        #expect(
            try (UInt64(1)...100).contains { seed in
                let strategy = try make(None.self, pages: 8, sharing: range(0..<8))
                let traffic = Traffic(
                    pins: everyRange(pages: 8), conversions: (0..<8).map(page), operations: 2000,
                    seed: seed)
                return try traffic.run(on: strategy).violations > 0
            })
    }

    private func convert(_ range: PageRange, on strategy: some PinStrategy) throws {
        try #require(
            strategy.refusalOfConversion(range, to: .private, hooks: oracle.hooks) == nil)
    }
}

/// Page 3 becomes private while a pin of it, which has not begun to look for conversions when the freeze stops it, is
/// under way; where the pin is granted all the same, the device writes. The pin's journal entry is its device's first.
func convertInTheMiddleOfAPin(_ strategy: some PinStrategy, _ oracle: Oracle) throws {
    let coordination = strategy.arena.coordination
    coordination.freeze.pointee.store(1, ordering: .sequentiallyConsistent)
    let thread = try WorkerThread(name: "device") {
        guard let pin = try? strategy.pinner(for: DeviceID(0)).pin(range(2..<5)) else { return }
        oracle.beginWrite(pin.range)
    }
    let journal = strategy.arena.journal(of: DeviceID(0))
    waitUntil { journal.highWater.pointee.load(ordering: .acquiring) == 1 }
    waitUntil { strategy.refusalOfConversion(page(3), to: .private, hooks: oracle.hooks) == nil }
    coordination.thaw()
    thread.join()
}
