import DmaLinux
import GuestMemory
import Testing

@testable import PinLock

/// What the table says at the turning points of a conversion. It is the state of record: an oracle that goes by the hooks
/// cannot tell whether they run in time.
@Suite struct CommitOrderTests {
    private static func states(_ arena: Arena, _ range: PageRange) -> Set<PageState> {
        Set((range.lower..<range.upper).map { arena.table.state(of: GFN($0)) })
    }

    /// Protection and canaries are in place before anybody is told that the pages are private, and what they were
    /// is looked at before anybody may write them.
    @Test(arguments: Candidate.available, [EntrySize.small, .large])
    func hooksRunBeforeTheCommit(_ candidate: Candidate, entrySize: EntrySize) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(
                Strategy.self, pages: 1030, entrySize: entrySize, sharing: range(0..<1030))
            let arena = strategy.arena
            let (toPrivate, toShared) = (Counter(), Counter())
            let hooks = ConversionHooks(willCommit: { range, state in
                (state == .private ? toPrivate : toShared).add(1)
                #expect(Self.states(arena, range) == [state == .private ? .shared : .private])
            })
            for converted in [page(3), range(510..<514), range(0..<1030)] {
                _ = try strategy.convert(converted, to: .private, policy: .deny, hooks: hooks)
                #expect(Self.states(arena, converted) == [.private])
                _ = try strategy.convert(converted, to: .shared, policy: .deny, hooks: hooks)
                #expect(Self.states(arena, converted) == [.shared])
            }
            // Where it has been pending, too.
            let device = strategy.pinner(for: DeviceID(0))
            let pin = try device.pin(range(2..<5))
            let step = try strategy.begin(
                range(0..<4), to: .private, policy: .wait(until: .never), hooks: hooks)
            device.unpin(pin)
            if case .pending(var pending) = step {
                waitUntil { (try? strategy.poll(&pending, hooks: hooks)) != .some(nil) }
            }
            #expect(Self.states(arena, range(0..<4)) == [.private])
            #expect(toPrivate.value == 4 && toShared.value == 3)
        }
        try check(candidate.type)
    }

    /// Pages are opened to pins once the table says shared, under the conversion's claim, refused or not.
    @Test(arguments: Candidate.safe, [EntrySize.small, .large])
    func pagesAreOpenedAfterTheCommit(_ candidate: Candidate, entrySize: EntrySize) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            var strategy = try make(Interposed<Strategy>.self, pages: 1030, entrySize: entrySize)
            let arena = strategy.arena
            let opened = Counter()
            strategy.beforeOpen = { range in
                opened.add(1)
                #expect(Self.states(arena, range) == [.shared])
                #expect(!(range.lower..<range.upper).contains { arena.table.isOpen(GFN($0)) })
            }
            for converted in [range(0..<1030), page(3), range(510..<514)] {
                if arena.table.state(of: converted.start) == .shared {
                    try strategy.convert(converted, to: .private)
                }
                try strategy.convert(converted, to: .shared)
            }
            let device = strategy.original.pinner(for: DeviceID(0))
            let pin = try device.pin(range(2..<5))
            #expect(strategy.refusalOfConversion(range(0..<4), to: .private) != nil)
            device.unpin(pin)
            #expect(opened.value == 4)
        }
        try check(candidate.type)
    }
}
