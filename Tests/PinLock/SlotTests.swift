import DmaLinux
import GuestMemory
import Testing

@testable import PinLock

@Suite struct SlotTests {
    private let device = DeviceID(0)

    private func make(pages: UInt64) throws -> Slots {
        try PinLockTests.make(Slots.self, pages: pages, sharing: range(0..<pages))
    }

    /// Zero says that a slot is free, so no header may be zero.
    @Test(arguments: [
        page(0), page(1), page(PageRange.frameLimit - 1), range(0..<PageRange.frameLimit),
        range(1..<PageRange.frameLimit), range(5..<70_000),
    ])
    func everyRangeCanBePublished(range: PageRange) throws {
        let arena = try Arena.create(pages: PageCount(8), entrySize: .small)
        let last = DeviceID(Arena.deviceCapacity - 1)
        arena.published.put([range], in: 7, of: last)
        #expect(arena.published.ranges(of: last) == [range])
        #expect(arena.published.firstPinned(in: range) == range.start)
        #expect(arena.livePins == 1)
        #expect(arena.published.clear(last) == 1)
        #expect(arena.published.firstPinned(in: range) == nil)
    }

    @Test func aPinWritesItsSlotAndNothingElse() throws {
        let strategy = try make(pages: 16)
        let pinner = strategy.pinner(for: device)
        let pin = try pinner.pin(range(3..<9))
        #expect(strategy.arena.published.ranges(of: device) == [range(3..<9)])
        #expect(strategy.arena.journal(of: device).liveEntries().isEmpty)
        #expect(ForestCover(arena: strategy.arena).forest.firstPinned(in: range(0..<16)) == nil)
        #expect(strategy.refusalOfConversion(range(0..<16), to: .private) == .pinned(GFN(3)))
        pinner.unpin(pin)
        #expect(strategy.arena.livePins == 0)
    }

    /// A pin of a page that is closed is in its slot before it is refused.
    @Test func aPinLooksOnceItHasSaidWhatItPins() throws {
        let strategy = try make(pages: 8)
        strategy.close(page(3))
        let isSeen = Counter()
        let thread = try WorkerThread(name: "device") {
            let pinner = strategy.pinner(for: DeviceID(0))
            while isSeen.value == 0 {
                #expect(refusalOfPin(range(2..<5), by: pinner) == .converting(GFN(3)))
            }
        }
        let patience = Deadline.after(milliseconds: 20_000)
        let published = strategy.arena.published
        waitUntil { published.ranges(of: device) == [range(2..<5)] || patience.hasPassed }
        #expect(!patience.hasPassed)
        isSeen.add(1)
        thread.join()
        #expect(strategy.arena.livePins == 0)
    }

    // MARK: Lists that are read while they are written

    /// A device writes a page down where its last list was read a moment before, and thinks better of it: no header has
    /// ever spoken for that page.
    private func isMisread(
        until deadline: Deadline, scans: Int, header: @escaping @Sendable (UInt64) -> UInt64
    ) throws -> Bool {
        let arena = try Arena.create(pages: PageCount(8), entrySize: .small)
        let published = arena.published
        let list = (0..<UInt64(Journal.rangeLimit)).map { page(2 * $0) }
        let isOver = Counter()
        published.put(list, in: 0, of: device)
        let thread = try WorkerThread(name: "device") { [device] in
            let slot = published.slots(of: device)
            let middle = published.lists(of: device) + list.count / 2
            var number: UInt64 = 1
            while isOver.value == 0 {
                number += 1
                slot.pointee.store(0, ordering: .releasing)
                middle.pointee.store(Journal.pack(page(5)), ordering: .releasing)
                middle.pointee.store(Journal.pack(page(6)), ordering: .releasing)
                PublishedPins.publish(header(number), in: slot.pointee)
            }
        }
        var scan = 0
        var isMisread = false
        while scan < scans, !isMisread, !deadline.hasPassed {
            isMisread = published.firstPinned(in: page(5)) != nil
            scan += 1
        }
        isOver.add(1)
        thread.join()
        withExtendedLifetime(arena) {}
        return isMisread
    }

    @Test func aListIsReadUnderItsOwnHeader() throws {
        #expect(
            try !isMisread(until: .never, scans: 3000) {
                PublishedPins.header($0, Journal.rangeLimit)
            })
        // With a number that comes back, the second look sees nothing.
        #expect(
            try isMisread(until: .after(milliseconds: 60_000), scans: .max) { _ in
                PublishedPins.header(1, Journal.rangeLimit)
            })
    }

    @Test func whatFindsNoSlotIsCounted() throws {
        let strategy = try make(pages: 64)
        let pinner = strategy.pinner(for: device)
        let slots = UInt64(PublishedPins.capacity)
        var pins = try (0..<slots + 2).map { try pinner.pin(page($0 + 1)) }
        let journal = strategy.arena.journal(of: device)
        #expect(journal.heldPins == [page(slots + 1), page(slots + 2)])
        #expect(strategy.arena.livePins == pins.count)
        for pin in pins {
            #expect(
                strategy.refusalOfConversion(pin.range, to: .private) == .pinned(pin.range.start))
        }
        #expect(strategy.refusalOfConversion(range(0..<64), to: .private) == .pinned(GFN(1)))
        #expect(try strategy.audit() == nil)

        pinner.unpin(pins.remove(at: 3))
        pins.append(try pinner.pin(page(40)))
        #expect(strategy.arena.published.ranges(of: device).contains(page(40)))
        #expect(strategy.refusalOfConversion(range(20..<64), to: .private) == .pinned(GFN(40)))
        for pin in pins { pinner.unpin(pin) }
        try strategy.convert(range(0..<64), to: .private)
        #expect(try strategy.audit() == nil)
    }

    /// Published, and dead before it saw that a page is private; others have the rest of the slots and the tree.
    @Test func aDeadDevicesSlotsAreCleared() throws {
        let strategy = try PinLockTests.make(Slots.self, pages: 64, sharing: range(0..<32))
        let survivor = strategy.pinner(for: DeviceID(1))
        let pin = try survivor.pin(range(5..<7))
        var dead: Slots.Device? = strategy.pinner(for: device)
        for _ in 0..<PublishedPins.capacity + 1 { _ = try dead!.pin(range(4..<6)) }
        dead = nil
        strategy.arena.published.put([range(30..<40)], in: 0, of: device)
        #expect(try strategy.audit() != nil)
        #expect(try strategy.recover(device, until: .now) == PublishedPins.capacity + 1)
        #expect(strategy.arena.livePins == 1)
        #expect(try strategy.audit() == nil)
        #expect(strategy.refusalOfConversion(range(0..<32), to: .private) == .pinned(GFN(5)))
        survivor.unpin(pin)
        try strategy.convert(range(0..<32), to: .private)
    }

    // MARK: Both kinds of pins at once

    @Test func oneSlotAgreesWithTheReference() throws {
        for pages in UInt64(1)...6 {
            let strategy = try PinLockTests.make(
                OneSlot.self, pages: pages)
            // The slot is taken while the devices' pins of the check are counted.
            var check = ExhaustiveCheck(strategy, devices: 2)
            try check.run()
        }
        let pages = 2 * pagesPerGiB + 700
        let strategy = try PinLockTests.make(OneSlot.self, pages: pages)
        var sequence = RandomSequence(
            strategy, borders: [pagesPerGiB, 2 * pagesPerGiB], longest: pages, seed: 1)
        try sequence.share(range(0..<pages))
        try sequence.run(steps: 800)
    }

    @Test(arguments: [ConflictPolicy.Kind.deny, .wait])
    func noPageIsEverPinnedAndPrivate(policy: ConflictPolicy.Kind) throws {
        let strategy = try PinLockTests.make(OneSlot.self, pages: 8, sharing: range(0..<8))
        let traffic = Traffic(
            pins: everyRange(pages: 8), conversions: (0..<8).map(page) + [range(3..<5)],
            policy: policy, operations: 20_000)
        let outcome = try traffic.run(on: strategy)
        #expect(outcome.violations == 0)
        #expect(outcome.pinned > 0 && outcome.converted > 0)
        #expect(try strategy.audit() == nil)
    }
}
