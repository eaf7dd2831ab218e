import DmaLinux
import DmaStatistics
import GuestMemory
import Testing

@testable import PinLock

/// A device's part of the guest's cap: never exceeded, and never refused what fits.
@Suite struct LimitedPinnerTests {
    private static let limit: UInt64 = 8

    /// Random pins and unpins against a sum kept beside them; the first pin that the two judge differently, in words.
    private func firstDisagreement(_ pinner: some Pinner, seed: UInt64) -> String? {
        var random = SplitMix64(seed: seed)
        var pins: [(pin: Pin, pages: UInt64)] = []
        var sum: UInt64 = 0
        defer { for (pin, _) in pins { pinner.unpin(pin) } }
        for _ in 0..<400 {
            if !pins.isEmpty, Bool.random(using: &random) {
                let (pin, pages) = pins.remove(at: .random(in: pins.indices, using: &random))
                pinner.unpin(pin)
                sum -= pages
                continue
            }
            let asked = (0..<Int.random(in: 1...2, using: &random)).map { _ in
                PageRange(
                    start: .random(in: 0..<56, using: &random),
                    count: .random(in: 1...6, using: &random))
            }
            let pages = asked.reduce(0) { $0 + $1.count.rawValue }
            let fits = sum + pages <= Self.limit
            do throws(PinRefusal) {
                pins.append((try pinner.pin(asked.span), pages))
                sum += pages
                if !fits { return "\(asked) was pinned beside \(sum - pages)" }
            } catch {
                guard fits || error != .overLimit(asked[0].start) else { continue }
                return "\(asked) beside \(sum): \(error)"
            }
        }
        return nil
    }

    @Test(arguments: Candidate.safe)
    func isKeptToThePage(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 64, sharing: range(0..<64))
            let pinner = LimitedPinner(
                strategy.pinner(for: DeviceID(0)), limit: PageCount(Self.limit))
            for seed in UInt64(1)...20 {
                #expect(firstDisagreement(pinner, seed: seed) == nil, "seed \(seed)")
                #expect(pinner.held == PageCount(0))
            }
            #expect(strategy.arena.livePins == 0)
            // Whoever is refused for the guest's sake has taken none of it.
            try strategy.convert(page(3), to: .private)
            #expect(refusalOfPin(range(0..<8), by: pinner) == .privatePage(GFN(3)))
            #expect(pinner.held == PageCount(0))
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }

    /// A pin that lasts takes its room beside what a cache keeps, which makes room for it.
    @Test func aPinToKeepTakesRoom() throws {
        let strategy = try make(PinCache.self, pages: 64, sharing: range(0..<64))
        let cache = strategy.pinner(for: DeviceID(0))
        cache.register([range(0..<64)])
        let pinner = LimitedPinner(cache, limit: PageCount(Self.limit))
        pinner.unpin(try pinner.pin(range(0..<6)))
        #expect(pinner.held == PageCount(6))
        let list: InlineArray<1, PageRange> = [range(8..<12)]
        let rings = try pinner.pinToKeep(list.span)
        #expect(pinner.held == PageCount(4))
        #expect(refusalOfPin(range(20..<25), by: pinner) == .overLimit(GFN(20)))
        pinner.unpin(rings)
        #expect(pinner.held == PageCount(0) && strategy.arena.livePins == 0)
    }

    @Test func aLimitOnEachPinAloneIsCaught() throws {
        let strategy = try make(RangeTree.self, pages: 64, sharing: range(0..<64))
        let twin = LimitsEachPin(
            strategy.pinner(for: DeviceID(0)), limit: PageCount(Self.limit))
        #expect(firstDisagreement(twin, seed: 1) != nil)
    }

    /// Asks whether a pin fits, and forgets what is out already.
    private final class LimitsEachPin: Pinner {
        private let pinner: any Pinner
        private let limit: PageCount

        init(_ pinner: any Pinner, limit: PageCount) {
            self.pinner = pinner
            self.limit = limit
        }

        func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
            let pages = ranges.indices.reduce(0) { $0 + ranges[$1].count.rawValue }
            guard PageCount(pages) <= limit else { throw .overLimit(ranges[0].start) }
            return try pinner.pin(ranges)
        }

        func unpin(_ pin: Pin) { pinner.unpin(pin) }
    }

    /// The part of a dead device goes with it: nothing of it is kept where others could see it.
    @Test(arguments: Candidate.safe.filter(\.pinsOutliveTheDevice))
    func aDeviceThatComesBackHasAllOfItsPart(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 64, sharing: range(0..<64))
            for _ in 0..<3 {
                let pinner = LimitedPinner(
                    strategy.pinner(for: DeviceID(0)), limit: PageCount(Self.limit))
                _ = try pinner.pin(range(0..<8))
                #expect(refusalOfPin(page(9), by: pinner) == .overLimit(GFN(9)))
                #expect(try strategy.recover(DeviceID(0), until: .never) == 1)
            }
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }

    // MARK: What is kept

    @Test func aRegistrationCountsFromSetUpOn() throws {
        let strategy = try make(LongLived.self, pages: 64, sharing: range(0..<64))
        let inner = strategy.pinner(for: DeviceID(0))
        let pinner = LimitedPinner(inner, limit: PageCount(Self.limit))
        #expect(throws: PinRefusal.overLimit(GFN(0))) {
            try pinner.register([range(0..<6), range(10..<13)])
        }
        #expect(strategy.arena.livePins == 0)
        try pinner.register([range(0..<4), range(10..<12)])
        #expect(pinner.held == PageCount(6))
        // Pins inside it are free, any number of them; outside two pages are left.
        let pins = try [range(0..<4), range(1..<3), range(10..<12), range(20..<22)].map {
            try pinner.pin($0)
        }
        #expect(pinner.held == PageCount(8))
        #expect(refusalOfPin(page(30), by: pinner) == .overLimit(GFN(30)))
        for pin in pins { pinner.unpin(pin) }
        #expect(pinner.held == PageCount(6))

        // While one is let go, DMAs inside it are pinned one by one, in its place.
        let result = try duringConversion(
            on: strategy, of: page(3), policy: .revoke(until: .never)
        ) {
            waitUntil {
                pinner.serviceRevocations()
                return strategy.arena.table.state(of: GFN(3)) == .private
            }
        }
        #expect(result == .success(.revoked))
        let again = try pinner.pin(range(0..<3))
        #expect(pinner.held == PageCount(6))
        pinner.unpin(again)
        pinner.unregister()
        #expect(pinner.held == PageCount(0) && strategy.arena.livePins == 0)
    }

    /// What a pin counts for is settled when it is taken, whatever is registered by the time it is given back.
    @Test func pinsMayOutlastRegistrations() throws {
        let strategy = try make(LongLived.self, pages: 64, sharing: range(0..<64))
        let pinner = LimitedPinner(
            strategy.pinner(for: DeviceID(0)), limit: PageCount(Self.limit))
        let early = try pinner.pin(page(2))
        try pinner.register([range(0..<4)])
        #expect(pinner.held == PageCount(5))
        pinner.unpin(early)
        #expect(pinner.held == PageCount(4))

        let result = try duringConversion(
            on: strategy, of: page(3), policy: .revoke(until: .never)
        ) {
            waitUntil {
                pinner.serviceRevocations()
                return strategy.arena.table.state(of: GFN(3)) == .private
            }
        }
        #expect(result == .success(.revoked))
        let late = try pinner.pin(range(0..<3))
        pinner.unregister()
        pinner.unpin(late)
        #expect(pinner.held == PageCount(0) && strategy.arena.livePins == 0)
        #expect(refusalOfPin(range(10..<18), by: pinner) == nil)
    }

    /// What a cache keeps makes room before a pin is refused, and never is more pinned than the limit.
    @Test func aCacheMakesRoom() throws {
        let strategy = try make(PinCache.self, pages: 64, sharing: range(0..<64))
        let journal = strategy.arena.journal(of: DeviceID(0))
        let inner = strategy.pinner(for: DeviceID(0))
        let pinner = LimitedPinner(inner, limit: PageCount(Self.limit))
        // Announced, not pinned; the rest is pinned for each DMA.
        try pinner.register([range(0..<48)])
        var random = SplitMix64(seed: 5)
        var pins: [Pin] = []
        var (refused, pinned) = (0, 0)
        for _ in 0..<4000 {
            if pins.count == 3 || (!pins.isEmpty && Bool.random(using: &random)) {
                pinner.unpin(pins.remove(at: .random(in: pins.indices, using: &random)))
                continue
            }
            let asked = PageRange(
                start: .random(in: 0..<56, using: &random),
                count: .random(in: 1...8, using: &random))
            do throws(PinRefusal) {
                pins.append(try pinner.pin(asked))
                pinned += 1
            } catch {
                // With nothing in use everything can make room.
                #expect(error == .overLimit(asked.start) && !pins.isEmpty)
                refused += 1
            }
            let held = journal.heldPins.reduce(0) { $0 + $1.count.rawValue }
            #expect(held <= Self.limit && PageCount(held) == pinner.held)
        }
        #expect(refused > 100 && pinned > 100)
        #expect(inner.counters.hits > 0 && inner.counters.evictions > 0)
        for pin in pins { pinner.unpin(pin) }
        pinner.unregister()
        #expect(pinner.held == PageCount(0) && strategy.arena.livePins == 0)
    }

    /// What makes room may be a part of the very list that it is made for.
    @Test func aCacheMakesRoomBesideWhatAListHasInIt() throws {
        let strategy = try make(PinCache.self, pages: 64, sharing: range(0..<64))
        let journal = strategy.arena.journal(of: DeviceID(0))
        let pinner = LimitedPinner(strategy.pinner(for: DeviceID(0)), limit: PageCount(8))
        try pinner.register([range(0..<64)])
        for list in [
            [range(0..<4)], [range(10..<14)], [range(0..<4), range(20..<24)],
            [range(30..<34), range(20..<24)], [range(40..<48)], [range(40..<46), range(50..<52)],
        ] {
            let pin = try pinner.pin(list.span)
            let held = journal.heldPins.reduce(0) { $0 + $1.count.rawValue }
            #expect(held <= 8 && PageCount(held) == pinner.held, "\(list)")
            pinner.unpin(pin)
        }
        #expect(throws: PinRefusal.overLimit(GFN(40))) {
            try pinner.pin([range(40..<46), range(50..<53)].span)
        }
        pinner.unregister()
        #expect(strategy.arena.livePins == 0)
    }

    /// What earlier requests left in the cache makes room for the second range of one as for its first.
    @Test func aCacheMakesRoomWithinARequest() throws {
        let strategy = try make(PinCache.self, pages: 64, sharing: range(0..<64))
        let pinner = LimitedPinner(strategy.pinner(for: DeviceID(0)), limit: PageCount(8))
        try pinner.register([range(0..<64)])
        for ranges in [[range(0..<4), range(10..<14)], [range(20..<24), range(30..<34)]] {
            let pins = try ranges.map { try pinner.pin($0) }
            // They are in use, and nothing of them can go.
            #expect(refusalOfPin(page(40), by: pinner) == .overLimit(GFN(40)))
            for number in ranges.map(\.lower) {
                #expect(
                    strategy.refusalOfConversion(page(number), to: .private) == .pinned(GFN(number))
                )
            }
            for pin in pins { pinner.unpin(pin) }
        }
        pinner.unregister()
        #expect(strategy.arena.livePins == 0)
    }
}
