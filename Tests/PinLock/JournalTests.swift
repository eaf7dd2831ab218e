import CRefuse
import DmaLinux
import Glibc
import GuestMemory
import Synchronization
import Testing

@testable import PinLock

/// A device writes down what it is about to do before it does it: a recovery has nothing else to go by.
@Suite struct JournalTests {
    private let arena: Arena
    private let writer: JournalWriter
    private var entries: [(index: Int, state: Journal.State, ranges: [PageRange])] {
        arena.journal(of: DeviceID(0)).liveEntries()
    }

    init() throws {
        arena = try Arena.create(pages: PageCount(8), entrySize: .small)
        writer = JournalWriter(DeviceID(0), in: arena)
    }

    /// As often as an entry is used: no later pin finds one of an earlier step.
    @Test func everyStepIsWrittenDown() throws {
        for round in UInt64(0)..<3 {
            let pin = try writer.begin(page(round))
            // No token is another one's, though the entry is the same.
            #expect(pin.entry == 0 && pin.ticket == 4 * (round + 1))
            #expect(entries.map(\.state) == [.intent] && entries.map(\.ranges) == [[page(round)]])
            writer.hold(pin)
            #expect(entries.map(\.state) == [.held])
            writer.beginRelease(pin)
            #expect(entries.map(\.state) == [.releasing])
            writer.end(pin)
            #expect(entries.isEmpty)
        }
    }

    /// A device that joins registers for the barrier, and says where it could not; what an earlier life said is over.
    @Test func whetherTheBarrierReachesItIsWrittenDown() throws {
        let arena = try Arena.create(pages: PageCount(8), entrySize: .small)
        let counting = try WorkerThread(name: "device") {
            #expect(crefuse_count_from_now_on(CREFUSE_MEMBARRIER) == 0)
            arena.journal(of: DeviceID(3)).barrierRefusal = ENOSYS
            _ = JournalWriter(DeviceID(3), in: arena)
            #expect(crefuse_count() == 1)
            #expect(arena.journal(of: DeviceID(3)).barrierRefusal == 0)
        }
        counting.join()
        let refused = try WorkerThread(name: "refused") {
            #expect(crefuse_from_now_on(CREFUSE_MEMBARRIER, EPERM) == 0)
            _ = JournalWriter(DeviceID(3), in: arena)
        }
        refused.join()
        #expect(arena.journal(of: DeviceID(3)).barrierRefusal == EPERM)
        #expect(arena.journal(of: DeviceID(3)).lives == 2)
    }

    /// A device's next life uses the entries of the one before, each of them, before it takes new ones.
    @Test func anotherLifeUsesTheSameEntries() throws {
        for _ in 0..<3 {
            let arena = arena
            let writer = JournalWriter(DeviceID(1), in: arena)
            let pins = try (0..<5).map { try writer.begin(page($0)) }
            #expect(pins.map(\.entry) == [0, 1, 2, 3, 4])
            #expect(arena.journal(of: DeviceID(1)).highWater.pointee.load(ordering: .relaxed) == 5)
            for pin in pins { writer.end(pin) }
        }
    }

    /// Of a list each range counts that meets what is asked for, in the order of the pages.
    @Test func heldPinsOfARange() throws {
        let pins = [[range(4..<6), range(0..<2), page(7)], [page(1)]].map { ranges in
            Result { try writer.begin(ranges.span) }
        }
        for pin in pins { writer.hold(try pin.get()) }
        _ = try writer.begin(page(5))
        #expect(arena.heldPins(in: range(1..<7)).map(\.part) == [page(1), page(1), range(4..<6)])
        #expect(!arena.heldPins(in: range(1..<7)).map(\.isHeld).contains(false))
        writer.beginRelease(try pins[0].get())
        #expect(arena.heldPins(in: range(0..<8)).map(\.part) == [page(1)])
    }

    /// What a dead device has left is cleared, and its next life's tickets go on from there.
    @Test func aClearedEntryKeepsItsTicket() throws {
        let pin = try writer.begin(page(1))
        writer.hold(pin)
        let journal = arena.journal(of: DeviceID(0))
        journal.clear(pin.entry)
        #expect(entries.isEmpty)
        #expect(journal.entry(pin.entry).state.pointee.load(ordering: .relaxed) == pin.ticket)
    }

    /// A list stands there, as it is, for as long as there may be counts of it: around each of them.
    @Test func aListIsWrittenDownAroundItsCounts() throws {
        let strategy = try make(RangeTree.self, pages: 8, sharing: range(0..<6))
        let arena = strategy.arena
        // All of it on this thread.
        nonisolated(unsafe) var stage = Journal.State.free
        let cover = ObservedCover(original: strategy.cover) {
            let entries = arena.journal(of: DeviceID(0)).liveEntries()
            #expect(entries.map(\.state) == [stage])
            #expect(entries.map(\.ranges) == [[range(3..<6), page(1)]])
        }
        let pins = CountedPins(cover, arena: strategy.arena, device: DeviceID(0))
        for _ in 0..<2 * Journal.listCapacity {
            stage = .intent
            let pin = try pins.pin([range(3..<6), page(1)].span)
            stage = .releasing
            pins.unpin(pin)
            #expect(arena.journal(of: DeviceID(0)).liveEntries().isEmpty)
        }
        // Also where it is refused after all.
        try strategy.convert(page(1), to: .private)
        stage = .intent
        for _ in 0..<2 * Journal.listCapacity {
            #expect(throws: PinRefusal.privatePage(GFN(1))) {
                try pins.pin([range(3..<6), page(1)].span)
            }
            #expect(arena.journal(of: DeviceID(0)).liveEntries().isEmpty)
        }
    }

    /// A list has its place back where there is none among the pins.
    @Test func aFullJournalTakesNoListsPlace() throws {
        var pins = try (0..<UInt64(Journal.capacity)).map { try writer.begin(page($0 % 8)) }
        let list = [page(5), page(3)]
        for _ in 0..<2 * Journal.listCapacity {
            #expect(throws: PinRefusal.tooManyPins(GFN(3))) { try writer.begin(list.span) }
        }
        writer.end(pins.removeLast())
        let pin = try writer.begin(list.span)
        #expect(arena.journal(of: DeviceID(0)).liveEntries().last?.ranges == list)
        writer.end(pin)
    }

    /// It goes back to where it was, and waits there: its counts are all in place until the thaw.
    @Test func anUnpinWaitsForTheThaw() throws {
        let pin = try writer.begin(page(3))
        writer.hold(pin)
        try arena.coordination.beginFreeze()
        let (hasCome, hasGone) = (Flag(), Flag())
        let device = Device(writer)
        let thread = try WorkerThread(name: "device") {
            hasCome.set()
            device.writer.beginRelease(pin)
            hasGone.set()
        }
        waitUntil { hasCome.isSet }
        // What it should not do before the thaw, it has done by then.
        sleep(until: .after(milliseconds: 20))
        #expect(!hasGone.isSet && entries.map(\.state) == [.held])
        arena.coordination.thaw()
        thread.join()
        #expect(entries.map(\.state) == [.releasing])
    }
}

private final class Flag: Sendable {
    private let flag = Atomic(false)
    var isSet: Bool { flag.load(ordering: .acquiring) }
    func set() { flag.store(true, ordering: .releasing) }
}

// One thread's at a time.
private struct Device: @unchecked Sendable {
    let writer: JournalWriter
    init(_ writer: JournalWriter) { self.writer = writer }
}
