import DmaLinux
import GuestMemory
import Synchronization
import Testing

@testable import PinLock

@Suite struct LimitTests {
    @Test(arguments: Candidate.safe)
    func aFullJournalRefusesPins(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            // Spread, so that no page's count is full first.
            let pages = UInt64(Journal.capacity / 16)
            let strategy = try make(Strategy.self, pages: pages, sharing: range(0..<pages))
            let device = strategy.pinner(for: DeviceID(0))
            var pins: [Pin] = []
            while let pin = try? device.pin(page(UInt64(pins.count) % pages)) { pins.append(pin) }
            #expect(pins.count >= Journal.capacity)
            #expect(refusalOfPin(page(3), by: device) == .tooManyPins(GFN(3)))
            #expect(refusalOfPin(page(3), by: strategy.pinner(for: DeviceID(1))) == nil)
            device.unpin(pins.removeLast())
            #expect(refusalOfPin(page(3), by: device) == nil)
            for pin in pins { device.unpin(pin) }
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }

    /// A lane of a tree, within a GiB and above it: its neighbours' counts and bits stay what they are.
    @Test(arguments: [UInt64(1), 2 * pagesPerGiB])
    func aFullLaneRefusesPins(pagesPerPin: UInt64) throws {
        let pages = 2 * pagesPerGiB
        let strategy = try make(RangeTree.self, pages: pages, sharing: range(0..<pages))
        let devices = [strategy.pinner(for: DeviceID(0)), strategy.pinner(for: DeviceID(1))]
        let pinned = range(0..<pagesPerPin)
        let neighbour = try devices[0].pin(page(1))
        let full = 16_384
        var pins = try (0..<full).map { try devices[$0 % 2].pin(pinned) }
        for device in devices {
            #expect(refusalOfPin(pinned, by: device) == .tooManyPins(GFN(0)))
            #expect(refusalOfPin(range(0..<4), by: device) == nil)
            #expect(refusalOfPin(page(2), by: device) == nil)
        }
        #expect(strategy.refusalOfConversion(page(0), to: .private) == .pinned(GFN(0)))
        #expect(try strategy.cover.auditCounts(strategy.arena) == nil)

        let last = pins.removeLast()
        devices[1].unpin(last)
        #expect(refusalOfPin(pinned, by: devices[0]) == nil)
        for (index, pin) in pins.enumerated() { devices[index % 2].unpin(pin) }
        #expect(strategy.refusalOfConversion(range(0..<4), to: .private) == .pinned(GFN(1)))
        devices[0].unpin(neighbour)
        #expect(try strategy.cover.auditCounts(strategy.arena) == nil)
    }

    /// Two billion pins are more than the journals hold: the entry's count is set by hand, and is nobody's held pins.
    @Test func aFullEntryRefusesPins() throws {
        let strategy = try make(PerPage.self, pages: 8, sharing: range(0..<8))
        let device = strategy.pinner(for: DeviceID(0))
        let others = RMPTable.Bits.countGuard - 1
        strategy.arena.table.word(5).pointee.wrappingAdd(others, ordering: .relaxed)
        let last = try device.pin(range(2..<8))
        #expect(refusalOfPin(range(2..<8), by: device) == .converting(GFN(2)))
        #expect(refusalOfPin(range(2..<5), by: device) == nil)
        device.unpin(last)
        #expect(refusalOfPin(range(2..<8), by: device) == nil)
        strategy.arena.table.word(5).pointee.wrappingSubtract(others, ordering: .relaxed)
        try strategy.convert(range(0..<8), to: .private)
        #expect(try strategy.audit() == nil)
    }

    /// A byte that is full stays what it is, and so do its neighbours, also when every device has one more count in
    /// flight.
    @Test func aFullByteRefusesPins() throws {
        let strategy = try make(PerPageSWAR.self, pages: 16, sharing: range(0..<16))
        let devices = [strategy.pinner(for: DeviceID(0)), strategy.pinner(for: DeviceID(1))]
        let full = 32
        var pins = try (0..<full).map { try devices[$0 % 2].pin(page(5)) }
        let inFlight = try #require(
            CountedWord(first: LaneCover(arena: strategy.arena), page(5)))
        for _ in 0..<Arena.deviceCapacity {
            #expect(refusalOfPin(range(2..<12), by: devices[0]) == .tooManyPins(GFN(2)))
            inFlight.word.pointee.wrappingAdd(inFlight.addend, ordering: .relaxed)
        }
        #expect(refusalOfPin(range(6..<12), by: devices[0]) == nil)
        #expect(strategy.refusalOfConversion(page(6), to: .private) == nil)
        #expect(strategy.refusalOfConversion(page(5), to: .private) == .pinned(GFN(5)))
        let inFlightSum = inFlight.addend * UInt64(Arena.deviceCapacity)
        inFlight.word.pointee.wrappingSubtract(inFlightSum, ordering: .relaxed)

        let last = pins.removeLast()
        devices[1].unpin(last)
        #expect(refusalOfPin(page(5), by: devices[0]) == nil)
        for (index, pin) in pins.enumerated() { devices[index % 2].unpin(pin) }
        #expect(try strategy.audit() == nil)
    }

    /// The upper tree of 16 TiB is opened by hand, and below it two GiBs alone: whoever looked into the others would
    /// find them closed.
    @Test func theLargestGuestIsSearchedFromAbove() throws {
        let pages = PageRange.frameLimit
        let arena = try Arena.create(pages: PageCount(pages), entrySize: .small)
        let cover = ForestCover(arena: arena)
        for gibs in [UInt64(2), 4, 16, 64, 256, 1024, 4096] {
            let step = gibs * pagesPerGiB
            for start in stride(from: 0, to: pages, by: Int(step)) {
                _ = cover.forEachWord(range(start..<start + step)) {
                    $0.word.pointee.bitwiseOr($0.open, ordering: .relaxed)
                    return true
                }
            }
        }
        let other = 9000 * pagesPerGiB
        for gib in [0, other] { cover.forest.open(range(gib..<gib + pagesPerGiB)) }
        #expect(cover.forest.firstClosed(in: range(0..<pages)) == nil)
        #expect(cover.forest.firstClosed(in: range(77..<other + 77)) == nil)

        cover.forest.close(page(other + 77))
        #expect(cover.forest.firstClosed(in: range(77..<other + 77)) == nil)
        #expect(cover.forest.firstClosed(in: range(77..<other + 78)) == GFN(other + 77))
        #expect(cover.forest.firstClosed(in: range(0..<pages)) == GFN(other + 77))
        #expect(cover.forest.firstClosed(in: range(other + 78..<pages)) == nil)
    }

    @Test(arguments: Candidate.safe, [EntrySize.small, .large])
    func theLargestGuestTakesNextToNoMemory(_ candidate: Candidate, entrySize: EntrySize) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let pages = PageRange.frameLimit
            let strategy = try make(Strategy.self, pages: pages, entrySize: entrySize)
            let device = strategy.pinner(for: DeviceID(0))
            #expect(refusalOfPin(range(0..<pages), by: device) == .privatePage(GFN(0)))
            #expect(refusalOfPin(page(pages - 1), by: device) == .privatePage(GFN(pages - 1)))
            try strategy.convert(page(pages - 1), to: .shared)
            #expect(refusalOfPin(page(pages - 1), by: device) == nil)
            #expect(try strategy.arena.mapping.populatedByteCount() < 4 << 20)
        }
        try check(candidate.type)
    }
}
