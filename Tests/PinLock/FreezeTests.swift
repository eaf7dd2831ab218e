import DmaLinux
import GuestMemory
import Testing

@testable import PinLock

/// What a recovery that makes counts anew stands on, and what it owes those who wait.
@Suite struct FreezeTests {
    /// The strategies whose every pin is counted.
    private static let counting = CountingCandidate.all.filter {
        [PerPage.info.name, PerPageSWAR.info.name, RangeTree.info.name]
            .contains($0.testDescription)
    }

    /// Its entry says that it has come and gone: it has counted nowhere, and is none of the pins there are.
    @Test(arguments: counting)
    func aPinWaitsForTheThaw(_ candidate: CountingCandidate) throws {
        func check<Strategy: CountingStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
            try strategy.arena.coordination.beginFreeze()
            let state = strategy.arena.journal(of: DeviceID(0)).entry(0).state
            let thread = try WorkerThread(name: "device") {
                #expect(refusalOfPin(range(2..<7), by: strategy.pinner(for: DeviceID(0))) == nil)
            }
            // Where it stays: free again, or past the freeze and held, or even given back.
            let settled = [Journal.State.free.rawValue, Journal.State.held.rawValue]
            waitUntil {
                let word = state.pointee.load(ordering: .acquiring)
                return word >> 2 > 0 && settled.contains(word & 3)
            }
            #expect(strategy.arena.livePins == 0)
            #expect(strategy.firstPinned(in: range(0..<8)) == nil)
            #expect(strategy.arena.coordination.isFrozen)
            strategy.arena.coordination.thaw()
            thread.join()
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }

    /// A conversion that waits for what a dead device has left of a pin goes on once that is recovered.
    @Test(arguments: CountingCandidate.all)
    func aRecoveryWakesAsAnUnpinDoes(_ candidate: CountingCandidate) throws {
        func check<Strategy: CountingStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Watched<Strategy>.self, pages: 8, sharing: range(0..<8))
            let original = strategy.original
            original.tear(Tear(state: .intent, counted: 0..<1), page(1), of: DeviceID(0))
            let before = strategy.looks.value
            let thread = try WorkerThread(name: "converter") {
                #expect(
                    strategy.refusalOfConversion(
                        page(1), to: .private, policy: .wait(until: .never)) == nil)
            }
            // Once before it counts itself in, and once after: now it sleeps, or is about to.
            waitUntil { strategy.looks.value == before + 2 }
            #expect(try original.recover(DeviceID(0), until: .never) == 1)
            let patience = Deadline.after(milliseconds: 30_000)
            waitUntil { strategy.looks.value > before + 2 || patience.hasPassed }
            #expect(strategy.looks.value > before + 2)
            strategy.arena.coordination.announceUnpin()
            thread.join()
        }
        try check(candidate.type)
    }
}
