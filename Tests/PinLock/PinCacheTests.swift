import DmaLinux
import GuestMemory
import Testing

@testable import PinLock

@Suite struct PinCacheTests {
    private let strategy: PinCache
    private let device: PinCache.Device
    private var journal: Journal { strategy.arena.journal(of: DeviceID(0)) }

    init() throws {
        strategy = try make(PinCache.self, pages: 64, sharing: range(0..<64))
        device = strategy.pinner(for: DeviceID(0))
        device.register([range(0..<32), range(40..<64)])
    }

    /// Hits, misses, merges, invalidations, evictions.
    private var counters: [UInt64] {
        let count = device.counters
        return [count.hits, count.misses, count.merges, count.invalidations, count.evictions]
    }

    private func use(_ ranges: PageRange...) throws {
        for pin in try ranges.map({ try device.pin($0) }) { device.unpin(pin) }
    }

    @Test func theSecondUseIsAHit() throws {
        #expect(strategy.arena.livePins == 0)
        try use(range(4..<8))
        try use(range(4..<8), page(5))
        #expect(counters == [2, 1, 0, 0, 0])
        #expect(journal.heldPins == [range(4..<8)])
        #expect(strategy.refusalOfConversion(page(7), to: .private) == .pinned(GFN(7)))
        device.unregister()
        #expect(strategy.arena.livePins == 0)
        #expect(try strategy.audit() == nil)
        try strategy.convert(range(0..<64), to: .private)
    }

    /// A queue's rings, which are pinned for long: what is kept besides is evicted all the same. Under a token it is not.
    @Test func aPinToKeepHoldsNothingElse() throws {
        device.limit = PageCount(1)
        let list: InlineArray<1, PageRange> = [page(20)]
        let rings = try device.pinToKeep(list.span)
        try use(page(1), page(3), page(5))
        #expect(device.counters.evictions == 2)
        #expect(Set(journal.heldPins) == [page(20), page(5)])
        device.unpin(rings)
        #expect(journal.heldPins == [page(5)])
        let token = try device.pin(page(20))
        try use(page(7), page(9))
        #expect(device.counters.evictions == 2)
        device.unpin(token)
    }

    @Test func whatIsNotAnnouncedIsNotKept() throws {
        try use(range(30..<41), range(31..<33), range(33..<36))
        #expect(counters == [0, 3, 0, 0, 0])
        #expect(strategy.arena.livePins == 0)
    }

    /// Nor is a list of which that is a part a token, wherever it stands: it is pinned as a whole.
    @Test func aListNotAllAnnouncedIsPinnedAsAWhole() throws {
        for list in [[page(35), page(1)], [page(1), page(35)], [page(1), page(35), page(2)]] {
            let pin = try device.pin(list.span)
            #expect(strategy.refusalOfConversion(page(35), to: .private) == .pinned(GFN(35)))
            device.unpin(pin)
            try strategy.convert(page(35), to: .private)
            try strategy.convert(page(35), to: .shared)
        }
        #expect(Set(journal.heldPins) == [page(1), page(2)])
        let token = try device.pin([page(2), page(1)].span)
        #expect(strategy.arena.livePins == 2)
        device.unpin(token)
    }

    @Test func overlappingRegistrationsMerge() throws {
        try use(range(0..<4), range(8..<12), range(12..<16), range(20..<22))
        try use(range(3..<9))
        #expect(Set(journal.heldPins) == [range(0..<12), range(12..<16), range(20..<22)])
        #expect(counters == [0, 5, 2, 0, 0])
        try use(range(0..<32))
        #expect(journal.heldPins == [range(0..<32)])
        #expect(counters == [0, 6, 5, 0, 0])
        try use(range(9..<30))
        #expect(counters == [1, 6, 5, 0, 0])
    }

    /// A token of a part stays good when the whole takes its place.
    @Test func aMergeUnderADMA() throws {
        let first = try device.pin(range(4..<8))
        let second = try device.pin(range(6..<10))
        device.unpin(second)
        #expect(journal.heldPins == [range(4..<10)])
        #expect(
            strategy.refusalOfConversion(page(4), to: .private, policy: .revoke(until: .now))
                == .deadlinePassed(GFN(4)))
        device.unpin(first)
        #expect(strategy.refusalOfConversion(page(4), to: .private) == .pinned(GFN(4)))
    }

    @Test func theLeastRecentlyUsedGo() throws {
        device.limit = PageCount(10)
        try use(range(0..<4))
        try use(range(8..<12))
        try use(range(0..<4))
        try use(range(40..<43))
        #expect(Set(journal.heldPins) == [range(0..<4), range(40..<43)])
        #expect(counters == [1, 3, 0, 0, 1])

        // What is above the limit alone is not kept, and makes nothing go.
        try use(range(44..<60))
        #expect(Set(journal.heldPins) == [range(0..<4), range(40..<43)])

        // A request may need more than is kept between requests.
        let pins = try [range(0..<4), range(8..<16), range(50..<56)].map { try device.pin($0) }
        #expect(journal.heldPins.count == 4)
        for pin in pins { device.unpin(pin) }
        #expect(journal.heldPins == [range(50..<56)])
    }

    /// Above the limit, but a token is out: it may stand for any registration.
    @Test func nothingIsEvictedUnderADMA() throws {
        device.limit = PageCount(4)
        let first = try device.pin(range(0..<4))
        try use(range(8..<12))
        #expect(strategy.refusalOfConversion(page(0), to: .private) == .pinned(GFN(0)))
        #expect(counters == [0, 2, 0, 0, 0])
        device.unpin(first)
        #expect(counters == [0, 2, 0, 0, 1])
        #expect(journal.heldPins == [range(8..<12)])
    }

    @Test func theirNumberIsLimited() throws {
        let most = UInt64(PinCache.Device.mostRegistrations)
        let pages = 2 * most + 20
        let strategy = try make(PinCache.self, pages: pages, sharing: range(0..<pages))
        let device = strategy.pinner(for: DeviceID(0))
        device.register([range(0..<pages)])
        for number in 0..<most + 10 { device.unpin(try device.pin(page(2 * number))) }
        #expect(device.counters.evictions == 10)
        #expect(strategy.arena.livePins == Int(most))
    }

    @Test func aConversionInvalidates() throws {
        try use(range(0..<4), range(8..<12))
        let wakes = Counter()
        let result = try duringConversion(
            on: strategy, of: page(2), policy: .revoke(until: .never), wakes: wakes
        ) {
            waitUntil { wakes.value > 0 }
            device.serviceRevocations()
        }
        #expect(result == .success(.revoked))
        #expect(journal.heldPins == [range(8..<12)])
        #expect(counters == [0, 2, 0, 1, 0])

        // The rest of the buffer is free still.
        #expect(refusalOfPin(range(0..<4), by: device) == .privatePage(GFN(2)))
        try use(range(0..<2))
        try strategy.convert(page(2), to: .shared)
        try use(range(0..<4))
        #expect(Set(journal.heldPins) == [range(8..<12), range(0..<4)])
        #expect(try strategy.audit() == nil)
    }

    @Test func nothingIsInvalidatedUnderADMA() throws {
        let pin = try device.pin(range(0..<2))
        let wakes = Counter()
        let result = try duringConversion(
            on: strategy, of: page(0), policy: .revoke(until: .never), wakes: wakes
        ) {
            waitUntil { wakes.value > 0 }
            device.serviceRevocations()
            #expect(strategy.firstPinned(in: page(0)) == GFN(0))
            device.unpin(pin)
        }
        #expect(result == .success(.revoked))
        #expect(counters == [0, 1, 0, 1, 0])
    }

    /// The union has a page that is being converted, the range itself has none.
    @Test func aUnionThatIsRefusedLeavesTheRange() throws {
        try use(range(0..<4))
        let other = strategy.pinner(for: DeviceID(1))
        let result = try duringConversion(
            on: strategy, of: page(0), policy: .wait(until: .never)
        ) {
            waitUntil { refusalOfPin(page(0), by: other) == .converting(GFN(0)) }
            let pin = try device.pin(range(2..<6))
            #expect(Set(journal.heldPins) == [range(0..<4), range(2..<6)])
            device.unpin(pin)
            #expect(journal.heldPins == [range(0..<4)])
            device.unregister()
        }
        #expect(result == .success(.waited) || result == .success(.immediate))
    }

    /// Whoever announces may be wrong about the guest's size.
    @Test func whatIsAnnouncedBehindTheGuestIsRefused() {
        device.register([PageRange(start: 0, count: PageRange.frameLimit)])
        let pages = strategy.arena.pages.rawValue
        for range in [range(pages - 1..<pages + 1), range(1 << 30..<(1 << 30) + 4)] {
            let first = max(range.lower, pages)
            #expect(refusalOfPin(range, by: device) == .outOfRange(GFN(first)))
        }
        #expect(journal.heldPins.isEmpty)
    }

    @Test func aRefusedPinIsAMiss() throws {
        try strategy.convert(page(2), to: .private)
        #expect(refusalOfPin(range(0..<4), by: device) == .privatePage(GFN(2)))
        #expect(counters == [0, 1, 0, 0, 0])
    }

    /// From one look to the next, over two devices.
    @Test func countersAreAddedUpFromWhereTheyStood() throws {
        let other = strategy.pinner(for: DeviceID(1))
        other.register([range(0..<64)])
        other.limit = PageCount(4)
        func use(_ device: PinCache.Device, _ range: PageRange) throws {
            device.unpin(try device.pin(range))
        }
        try use(device, range(0..<2))
        try use(other, range(0..<2))
        let (mine, others) = (device.counters, other.counters)

        for _ in 1...5 { try use(device, range(0..<2)) }
        try use(device, range(1..<3))
        for _ in 1...3 {
            try use(other, range(8..<12))
            try use(other, range(16..<20))
        }
        var sum = CacheCounters()
        sum.add(device.counters.since(mine))
        sum.add(other.counters.since(others))
        var expected = CacheCounters()
        (expected.hits, expected.misses, expected.merges) = (5, 7, 1)
        expected.evictions = 6
        #expect(sum == expected)
    }

    @Test func noOtherStrategyKeepsWithinALimit() {
        #expect(Registry.all.filter { $0.isCached }.map { $0.info.name } == ["pincache"])
    }

    @Test func lettingGoUnderARequestIsCaught() throws {
        let oracle = Oracle(watching: Set(0..<8))
        let strategy = try make(EvictsUnderARequest.self, pages: 8, sharing: range(0..<8))
        let device = strategy.pinner(for: DeviceID(0))
        let pin = try device.pin(page(0))
        oracle.beginWrite(pin.range)
        let second = try device.pin(page(4))
        _ = strategy.refusalOfConversion(page(0), to: .private, hooks: oracle.hooks)
        oracle.endWrite(pin.range)
        device.unpin(second)
        #expect(oracle.violations.load(ordering: .relaxed) > 0)
    }
}

/// Makes room for a registration whenever it takes one.
private struct EvictsUnderARequest: Twin {
    let original: RangeTree

    init(arena: Arena) { original = RangeTree(arena: arena) }

    func pinner(for device: DeviceID) -> Device {
        Device(
            Registrations(
                CountedPins(original.cover, arena: arena, device: device), device: device))
    }

    final class Device: Pinner {
        private let registrations: Registrations

        init(_ registrations: Registrations) { self.registrations = registrations }

        func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
            let range = ranges[0]
            if let first = registrations.numbers.first { registrations.remove(first) }
            _ = try registrations.merge(range)
            return registrations.token(for: range)
        }

        func unpin(_ pin: Pin) { _ = registrations.giveBack(pin) }
    }
}
