import DmaLinux
import GuestMemory
import Testing

@testable import PinLock

/// Pins of lists, against what a list means: each of its pages is pinned as often as a range has it, or none is.
@Suite struct ListTests {
    private static let device = DeviceID(0)

    /// Every list of up to three ranges, in any order, overlapping or not, over every table of a few pages.
    @Test(arguments: Candidate.safe)
    func everyListOverEveryTable(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            for pages in UInt64(1)...4 {
                let ranges = everyRange(pages: pages)
                let lists =
                    ranges.map { [$0] } + ranges.flatMap { one in ranges.map { [one, $0] } }
                    + ranges.flatMap { one in
                        ranges.flatMap { two in ranges.map { [one, two, $0] } }
                    }
                let strategy = try make(Strategy.self, pages: pages)
                let pinner = strategy.pinner(for: Self.device)
                for table in 0..<UInt64(1) << pages {
                    for number in 0..<pages where table >> number & 1 == 1 {
                        try strategy.convert(page(number), to: .shared)
                    }
                    for list in lists { try meet(strategy, pinner, list, table, pages) }
                    for number in 0..<pages where table >> number & 1 == 1 {
                        try strategy.convert(page(number), to: .private)
                    }
                }
                #expect(try strategy.audit() == nil)
            }
        }
        try check(candidate.type)
    }

    private func meet<Strategy: PinStrategy>(
        _ strategy: Strategy, _ pinner: Strategy.Device, _ list: [PageRange], _ table: UInt64,
        _ pages: UInt64
    ) throws {
        let what = "\(list) over \(String(table, radix: 2))"
        func isShared(_ page: UInt64) -> Bool { table >> page & 1 == 1 }
        let wanted = Set(list.flatMap { $0.lower..<$0.upper })
        let closed = wanted.filter { !isShared($0) }
        let pin: Pin
        do throws(PinRefusal) {
            pin = try pinner.pin(list.span)
        } catch {
            guard case .privatePage(let page) = error else { throw error }
            try agree(closed.contains(page.rawValue), true, "\(what): refused for \(page)")
            return try agree(strategy.arena.livePins, 0, "\(what): left behind by a refusal")
        }
        try agree(closed, [], "\(what): pinned")
        try agree(strategy.arena.livePins, 1, "\(what): tokens of a list")
        for number in 0..<pages where isShared(number) {
            let isPinned = strategy.firstPinned(in: page(number)) != nil
            try agree(isPinned, wanted.contains(number), "\(what): page \(number) is pinned")
        }
        let lowest = wanted.min().map { GFN($0) }
        if table == 1 << pages - 1 {
            try agree(strategy.firstPinned(in: range(0..<pages)), lowest, "\(what): lowest page")
            try agree(
                strategy.refusalOfConversion(page(lowest!.rawValue), to: .private),
                .pinned(lowest!), "\(what): a conversion")
        }
        pinner.unpin(pin)
        try agree(strategy.firstPinned(in: range(0..<pages)), nil, "\(what): after the unpin")
    }

    /// Pages far apart, whole GiBs and the borders between them; so many that no structure has them side by side.
    @Test(arguments: Candidate.safe)
    func longListsFarApart(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let gib = pagesPerGiB
            let list =
                [range(gib - 3..<gib + 5), page(0), range(gib..<2 * gib), page(2 * gib)]
                + (1...UInt64(Pin.rangeLimit - 4)).reversed().map { page($0 * 97) }
            let strategy = try make(
                Strategy.self, pages: 2 * gib + 8, sharing: range(0..<2 * gib + 8))
            let pinner = strategy.pinner(for: Self.device)
            let pin = try pinner.pin(list.span)
            #expect(strategy.arena.livePins == 1)
            for part in list.prefix(40) {
                #expect(
                    strategy.refusalOfConversion(page(part.upper - 1), to: .private)
                        == .pinned(GFN(part.upper - 1)))
            }
            try strategy.convert(page(98), to: .private)
            let withPrivate = list.dropLast() + [page(98)]
            #expect(throws: PinRefusal.privatePage(GFN(98))) {
                try pinner.pin(Array(withPrivate).span)
            }
            #expect(strategy.arena.livePins == 1)
            #expect(try strategy.audit() == nil)
            pinner.unpin(pin)
            try strategy.convert(range(0..<98), to: .private)
            #expect(strategy.arena.livePins == 0)
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }

    /// The dead device's lists are taken back with all their ranges, and nobody else's.
    @Test(arguments: Candidate.safe)
    func listsOfADeadDeviceAreTakenBack(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 64, sharing: range(0..<64))
            let lists = [
                [page(3), range(40..<50), page(3)], [range(8..<24), range(16..<32)], [page(63)],
            ]
            var dead: Strategy.Device? = strategy.pinner(for: Self.device)
            for _ in 0..<4 { for list in lists { _ = try dead!.pin(list.span) } }
            dead = nil
            let survivor = strategy.pinner(for: DeviceID(1))
            let pin = try survivor.pin([page(20), page(3)].span)
            #expect(try strategy.recover(Self.device, until: .now) == 4 * lists.count)
            #expect(try strategy.audit() == nil)
            #expect(strategy.arena.livePins == 1)
            #expect(strategy.refusalOfConversion(range(0..<64), to: .private) == .pinned(GFN(3)))
            #expect(strategy.refusalOfConversion(range(4..<64), to: .private) == .pinned(GFN(20)))
            survivor.unpin(pin)
            try strategy.convert(range(0..<64), to: .private)
        }
        try check(candidate.type)
    }

    /// A list has a place of its own while it is held, however many there are; where there are no more, it is refused.
    @Test(arguments: Candidate.safe)
    func everyListHasItsPlace(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 1024, sharing: range(0..<1024))
            let pinner = strategy.pinner(for: Self.device)
            var pins: [Pin] = []
            var refusal: PinRefusal?
            while refusal == nil, pins.count < 512 {
                let first = UInt64(pins.count) * 2
                do throws(PinRefusal) {
                    pins.append(try pinner.pin([page(first), page(first + 1)].span))
                } catch {
                    refusal = error
                }
            }
            #expect(pins.count >= Journal.listCapacity)
            #expect(refusal == .tooManyPins(GFN(UInt64(pins.count) * 2)))
            #expect(try strategy.audit() == nil)
            // Out of order, and back again.
            for index in [5, 40, 0] {
                pinner.unpin(pins[index])
                try strategy.convert(range(UInt64(index) * 2..<UInt64(index) * 2 + 2), to: .private)
            }
            pins = try pins.enumerated().map { index, pin in
                [5, 40, 0].contains(index) ? try pinner.pin([page(700), page(702)].span) : pin
            }
            #expect(strategy.arena.livePins == pins.count)
            for pin in pins { pinner.unpin(pin) }
            #expect(strategy.firstPinned(in: range(0..<1024)) == nil)
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }

    /// Whichever of its ranges it is that reaches past the guest.
    @Test(arguments: Candidate.safe)
    func everyRangeIsWithinTheGuest(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
            let pinner = strategy.pinner(for: Self.device)
            for place in 0..<3 {
                var list = [page(1), page(3), page(5)]
                list[place] = range(7..<9)
                #expect(throws: PinRefusal.outOfRange(GFN(8))) { try pinner.pin(list.span) }
                #expect(strategy.arena.livePins == 0)
            }
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }

    /// Thirty-two of a page fill its byte: in one list as in many.
    @Test func aListMayFillACount() throws {
        let strategy = try make(PerPageSWAR.self, pages: 8, sharing: range(0..<8))
        let pinner = strategy.pinner(for: Self.device)
        let full = Array(repeating: page(3), count: 32)
        let pin = try pinner.pin(full.span)
        #expect(strategy.arena.livePins == 1)
        pinner.unpin(pin)
        #expect(throws: PinRefusal.tooManyPins(GFN(3))) { try pinner.pin((full + [page(3)]).span) }
        #expect(strategy.firstPinned(in: range(0..<8)) == nil)
        #expect(try strategy.audit() == nil)
    }
}
