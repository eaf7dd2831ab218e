import CRefuse
import DmaLinux
import DmaStatistics
import Glibc
import GuestMemory
import Testing

@testable import PinLock

@Suite struct RecoveryTests {
    private let dead = DeviceID(0)
    private let living = DeviceID(1)
    /// For what is expected to end at once, so that a test which fails ends too.
    private var patience: Deadline { .after(milliseconds: 60_000) }

    /// The device is dropped with its pins; another one's overlap them.
    @Test(arguments: Candidate.safe)
    func heldPinsAreTakenBackAndNoOthers(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 40, sharing: range(0..<40))
            let ranges = [range(0..<40), range(3..<17), page(5), page(5)]
            var device: Strategy.Device? = strategy.pinner(for: dead)
            for range in ranges { _ = try device!.pin(range) }
            device = nil
            let survivor = strategy.pinner(for: living)
            let pins = try [survivor.pin(range(4..<9)), survivor.pin(page(5))]

            let isPinned = candidate.pinsOutliveTheDevice
            #expect(strategy.firstPinned(in: page(39)) == (isPinned ? GFN(39) : nil))
            #expect(try strategy.recover(dead, until: .now) == ranges.count)
            #expect(try strategy.audit() == nil)
            #expect(strategy.arena.livePins == pins.count)
            #expect(strategy.refusalOfConversion(range(0..<40), to: .private) == .pinned(GFN(4)))

            // A restarted device finds its journal empty; a second recovery, nothing to do.
            let again = strategy.pinner(for: dead)
            #expect(refusalOfPin(range(0..<40), by: again) == nil)
            #expect(try strategy.recover(dead, until: .now) == 0)
            for pin in pins { survivor.unpin(pin) }
            try strategy.convert(range(0..<40), to: .private)
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }

    /// A freeze that does not reach a living device is none: the torn pin is left, and who is in the way is named.
    @Test func aDeviceWithoutTheBarrierPutsARecoveryOff() throws {
        let strategy = try make(RangeTree.self, pages: 40, sharing: range(0..<40))
        let survivor = strategy.pinner(for: living)
        strategy.tear(Tear.everywhere(words: 1)[0], page(5), of: dead)
        let journal = strategy.arena.journal(of: living)
        #expect(journal.barrierRefusal == 0)
        // As where the kernel refuses its process alone.
        journal.barrierRefusal = EPERM
        #expect {
            _ = try strategy.recover(dead, until: .now)
        } throws: {
            "\($0)".hasPrefix("membarrier(REGISTER_GLOBAL_EXPEDITED) (device 1): ")
        }
        #expect(strategy.arena.journal(of: dead).isAbandoned)
        journal.barrierRefusal = 0
        #expect(try strategy.recover(dead, until: .now) == 1)
        #expect(try strategy.audit() == nil)
        withExtendedLifetime(survivor) {}
    }

    /// It is in nobody's way once it is dead, nor are its pins when it has been recovered.
    @Test(arguments: CountingCandidate.all)
    func aDeadDeviceNeedsNoBarrier(_ candidate: CountingCandidate) throws {
        func check<Strategy: CountingStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
            let other = DeviceID(2)
            strategy.arena.journal(of: dead).barrierRefusal = EPERM
            for device in [dead, other] {
                strategy.tear(Tear(state: .intent, counted: 0..<1), range(0..<7), of: device)
                #expect(try strategy.recover(device, until: .now) == 1)
                #expect(try strategy.audit() == nil)
            }
        }
        try check(candidate.type)
    }

    /// Where the kernel refuses the recovery's own barrier, the torn pin is left, and nobody waits for a thaw.
    @Test(arguments: CountingCandidate.all)
    func aRefusedBarrierFreezesNobody(_ candidate: CountingCandidate) throws {
        func check<Strategy: CountingStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
            let survivor = strategy.pinner(for: living)
            strategy.tear(Tear(state: .intent, counted: 0..<1), range(0..<7), of: dead)
            let thread = try WorkerThread(name: "refused") {
                #expect(crefuse_from_now_on(CREFUSE_MEMBARRIER, EPERM) == 0)
                #expect {
                    _ = try strategy.recover(dead, until: .now)
                } throws: {
                    "\($0)".hasPrefix("membarrier")
                }
            }
            thread.join()
            #expect(!strategy.arena.coordination.isFrozen)
            #expect(refusalOfPin(range(0..<8), by: survivor) == nil)
            #expect(try strategy.recover(dead, until: .now) == 1)
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }

    /// Once it is recovered a device is not taken for dead any more, under whatever strategy.
    @Test(arguments: Candidate.safe)
    func whoIsRecoveredIsNotAbandoned(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
            for device in [dead, living] {
                _ = try strategy.pinner(for: device).pin(range(2..<5))
            }
            try strategy.recover([dead, living], eachWithin: 60_000)
            #expect(!strategy.arena.journal(of: dead).isAbandoned)
            #expect(!strategy.arena.journal(of: living).isAbandoned)
            #expect(strategy.arena.livePins == 0)
        }
        try check(candidate.type)
    }

    /// Whose number is the first or the last one is counted as everybody else.
    @Test(arguments: CountingCandidate.all)
    func everyDevicesPinsStay(_ candidate: CountingCandidate) throws {
        func check<Strategy: CountingStrategy>(_: Strategy.Type) throws {
            for number in [0, Arena.deviceCapacity - 1] {
                let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
                let survivor = strategy.pinner(for: DeviceID(number))
                let pin = try survivor.pin(range(0..<8))
                strategy.tear(
                    Tear(state: .intent, counted: 0..<1), range(0..<7), of: DeviceID(5))
                #expect(try strategy.recover(DeviceID(5), until: .never) == 1)
                #expect(try strategy.audit() == nil)
                survivor.unpin(pin)
                #expect(try strategy.audit() == nil)
            }
        }
        try check(candidate.type)
    }

    /// Every place where a pin or an unpin may end for good, under survivors of many shapes.
    @Test(arguments: CountingCandidate.all, [EntrySize.small, .large])
    func tornPins(_ candidate: CountingCandidate, entrySize: EntrySize) throws {
        func check<Strategy: CountingStrategy>(_: Strategy.Type) throws {
            // The last pages are private: a pin that reaches them was about to be refused.
            let strategy = try make(
                Strategy.self, pages: 1100, entrySize: entrySize, sharing: range(0..<1024))
            let survivor = strategy.pinner(for: living)
            let survivors = [
                range(0..<1024), range(3..<9), page(5), page(7), range(511..<513), page(600),
            ]
            for pinned in survivors { _ = try survivor.pin(pinned) }
            for torn in [range(2..<19), page(6), range(510..<514), range(1010..<1030), page(1050)] {
                for tear in Tear.everywhere(words: strategy.wordCount(of: torn)) {
                    strategy.tear(tear, torn, of: dead)
                    #expect(try strategy.recover(dead, until: .now) == 1)
                    #expect(try strategy.audit() == nil, "\(torn): \(tear)")
                }
            }
            #expect(strategy.arena.livePins == survivors.count)
        }
        try check(candidate.type)
    }

    /// The same of lists, whose ranges may overlap, among living ones that do.
    @Test(arguments: CountingCandidate.all, [EntrySize.small, .large])
    func tornLists(_ candidate: CountingCandidate, entrySize: EntrySize) throws {
        func check<Strategy: CountingStrategy>(_: Strategy.Type) throws {
            let strategy = try make(
                Strategy.self, pages: 1100, entrySize: entrySize, sharing: range(0..<1024))
            let survivor = strategy.pinner(for: living)
            let survivors = [
                [range(0..<9), page(7), range(511..<513)], [page(5)], [range(3..<8), page(600)],
            ]
            // More than a device has slots for, so that some of each are counted.
            for _ in 0..<PublishedPins.capacity {
                for list in survivors { _ = try survivor.pin(list.span) }
            }
            let live = strategy.arena.livePins
            for torn in [
                [range(2..<8), page(6)], [page(600), range(510..<514), range(5..<7)],
                [page(7), page(7), page(1050)],
            ] {
                for tear in Tear.everywhere(words: strategy.wordCount(of: torn)) {
                    strategy.tear(tear, torn, of: dead)
                    #expect(try strategy.recover(dead, until: .never) == 1)
                    #expect(try strategy.audit() == nil, "\(torn): \(tear)")
                }
                strategy.tear(.held, torn, of: dead)
                #expect(try strategy.recover(dead, until: .never) == 1)
                #expect(try strategy.audit() == nil, "\(torn)")
            }
            #expect(strategy.arena.livePins == live)
        }
        try check(candidate.type)
    }

    /// The words above the GiBs, and a dead device with both kinds of pins.
    @Test(arguments: CountingCandidate.all)
    func tornPinsOfSeveralGiBs(_ candidate: CountingCandidate) throws {
        func check<Strategy: CountingStrategy>(_: Strategy.Type) throws {
            let gib = pagesPerGiB
            // A strategy that visits every page is torn at few of them.
            let pages = Strategy.isPagewise ? gib + 20 : 2 * gib + 20
            let torn = Strategy.isPagewise ? range(gib - 5..<gib + 5) : range(0..<2 * gib + 7)
            let strategy = try make(Strategy.self, pages: pages, sharing: range(0..<pages))
            let survivor = strategy.pinner(for: living)
            for pinned in [range(gib - 6..<gib + 6), page(gib), range(0..<pages)] {
                _ = try survivor.pin(pinned)
            }
            for tear in Tear.everywhere(words: strategy.wordCount(of: torn)) {
                strategy.tear(tear, torn, of: dead)
                strategy.tear(
                    .held, range(gib - 1..<gib + 3), of: dead)
                #expect(try strategy.recover(dead, until: .now) == 2)
                #expect(
                    try Strategy.cover(strategy.arena).auditCounts(strategy.arena) == nil,
                    "\(tear)")
            }
            #expect(strategy.arena.livePins == 3)
        }
        try check(candidate.type)
    }

    /// Counted on as the head of a whole region; an entry of its own by the time of the recovery.
    @Test(arguments: CountingCandidate.all)
    func aTornPinOfAnEntryThatWasSplitSince(_ candidate: CountingCandidate) throws {
        func check<Strategy: CountingStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 512, entrySize: .large)
            strategy.tear(Tear(state: .intent, counted: 0..<1), range(7..<9), of: dead)
            try strategy.convert(range(3..<20), to: .shared)
            let survivor = strategy.pinner(for: living)
            let pin = try survivor.pin(range(4..<19))
            #expect(try strategy.recover(dead, until: .now) == 1)
            #expect(try strategy.audit() == nil)
            survivor.unpin(pin)
            try strategy.convert(page(0), to: .shared)
            try strategy.convert(page(0), to: .private)
        }
        try check(candidate.type)
    }

    /// Each is in the other's way until it is known to be dead too.
    @Test(arguments: CountingCandidate.all)
    func twoDeadDevices(_ candidate: CountingCandidate) throws {
        func check<Strategy: CountingStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
            let words = strategy.wordCount(of: range(0..<7))
            let other = DeviceID(2)
            let survivor = strategy.pinner(for: living)
            _ = try survivor.pin(range(1..<6))
            for counted in 0...words {
                strategy.tear(Tear(state: .intent, counted: 0..<counted), range(0..<7), of: dead)
                strategy.tear(
                    Tear(state: .releasing, counted: counted..<words), range(0..<7), of: other)
                #expect(throws: RecoveryRefusal.stillMoving(other)) {
                    try strategy.recover(dead, until: .now)
                }
                #expect(try strategy.recover(other, until: .now) == 1)
                #expect(try strategy.recover(dead, until: .now) == 1)
                #expect(try strategy.audit() == nil)
            }
        }
        try check(candidate.type)
    }

    /// Told of both at once, no recovery waits for the other.
    @Test(arguments: CountingCandidate.all)
    func devicesThatDieTogether(_ candidate: CountingCandidate) throws {
        func check<Strategy: CountingStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
            let other = DeviceID(2)
            let survivor = strategy.pinner(for: living)
            _ = try survivor.pin(range(1..<6))
            strategy.tear(Tear(state: .intent, counted: 0..<1), range(0..<7), of: dead)
            strategy.tear(Tear(state: .releasing, counted: 0..<1), range(0..<7), of: other)
            try strategy.recover([dead, other], eachWithin: 0)
            #expect(try strategy.audit() == nil)
            #expect(strategy.arena.livePins == 1)

            // Whoever lives is waited for, and the others' pins go.
            strategy.tear(Tear(state: .intent, counted: 0..<1), range(0..<7), of: dead)
            strategy.tear(.held, range(0..<7), of: other)
            strategy.tear(Tear(state: .intent, counted: 0..<0), range(2..<3), of: living)
            #expect(throws: RecoveryRefusal.stillMoving(living)) {
                try strategy.recover([dead, other], eachWithin: 0)
            }
            #expect(strategy.arena.livePins == 3)
        }
        try check(candidate.type)
    }

    @Test(arguments: CountingCandidate.all)
    func twoRecoveriesAtOnce(_ candidate: CountingCandidate) throws {
        func check<Strategy: CountingStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
            let other = DeviceID(2)
            for turn in 0..<100 {
                let tear = Tear(state: turn % 2 == 0 ? .intent : .releasing, counted: 0..<1)
                strategy.tear(tear, range(0..<7), of: dead)
                strategy.tear(tear, range(0..<7), of: other)
                strategy.tear(.held, range(1..<8), of: other)
                let total = Counter()
                try inParallel(
                    [dead, other].map { device in
                        { total.add((try? strategy.recover(device, until: patience)) ?? -100) }
                    })
                #expect(total.value == 3)
                #expect(try Strategy.cover(strategy.arena).auditCounts(strategy.arena) == nil)
            }
        }
        try check(candidate.type)
    }

    /// A device that lives but does not move: nothing is changed, and everybody may go on.
    /// Two that count anew at once would each go by journals that the other is changing.
    @Test(arguments: CountingCandidate.all)
    func aRecoveryWaitsForAnother(_ candidate: CountingCandidate) throws {
        func check<Strategy: CountingStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
            let journal = strategy.arena.journal(of: dead)
            strategy.tear(Tear(state: .intent, counted: 0..<1), range(0..<7), of: dead)
            let recovered = Counter()
            var thread: WorkerThread?
            try strategy.arena.coordination.recoveryLock.withLock {
                thread = try WorkerThread(name: "recovery") {
                    recovered.add((try? strategy.recover(dead, until: patience)) ?? -100)
                }
                waitUntil { journal.isAbandoned || recovered.value != 0 }
                // What it should not do before it has the lock, it has done by now.
                sleep(until: .after(milliseconds: 5))
                #expect(journal.liveEntries().count == 1 && recovered.value == 0)
            }
            thread.take()?.join()
            #expect(recovered.value == 1)
        }
        try check(candidate.type)
    }

    @Test(arguments: CountingCandidate.all)
    func aRecoveryGivesUpOnADeviceThatIsStuck(_ candidate: CountingCandidate) throws {
        func check<Strategy: CountingStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
            let stuck = DeviceID(63)
            let survivor = strategy.pinner(for: living)
            for state in [Journal.State.intent, .releasing] {
                strategy.tear(Tear(state: .intent, counted: 0..<1), range(0..<7), of: dead)
                strategy.tear(Tear(state: state, counted: 0..<0), range(0..<7), of: stuck)
                #expect(throws: RecoveryRefusal.stillMoving(stuck)) {
                    try strategy.recover(dead, until: .after(milliseconds: 1))
                }
                #expect(!strategy.arena.coordination.isFrozen)
                #expect(refusalOfPin(range(0..<8), by: survivor) == nil)
                #expect(strategy.arena.livePins == 2)

                // It goes on, and is out of the pin.
                strategy.arena.journal(of: stuck).clear(state == .intent ? 0 : 1)
                #expect(try strategy.recover(dead, until: .now) == 1)
                #expect(try strategy.audit() == nil)
            }
        }
        try check(candidate.type)
    }

    /// Devices that pin and unpin, and converters, keep going through a thousand freezes.
    @Test(arguments: CountingCandidate.all, [EntrySize.small, .large])
    func aThousandRecoveriesUnderTraffic(
        _ candidate: CountingCandidate, entrySize: EntrySize
    ) throws {
        func check<Strategy: CountingStrategy>(_: Strategy.Type) throws {
            let strategy = try make(
                Strategy.self, pages: 1030, entrySize: entrySize, sharing: range(0..<1030))
            let recovered = Counter()
            let recoverer = Strategy(arena: try strategy.arena.viewedAgain())
            let traffic = Traffic(
                pins: [range(0..<9), range(2..<5), page(3), range(510..<515), page(520)],
                conversions: [page(3), page(8), page(512), range(4..<6)], policy: .wait,
                operations: 1500, devices: 1...2)
            let torn = [range(0..<7), page(3), range(1..<9), range(509..<514)]
            var outcome = Traffic.Outcome()
            let thread = try WorkerThread(name: "recovery") { [dead] in
                var random = SplitMix64(seed: 7)
                for _ in 0..<1000 {
                    let range = torn.randomElement(using: &random)!
                    let words = recoverer.wordCount(of: range)
                    let tear = Tear.everywhere(words: words).randomElement(using: &random)!
                    recoverer.tear(tear, range, of: dead)
                    recovered.add((try? recoverer.recover(dead, until: patience)) ?? 0)
                }
            }
            let result = Result { outcome = try traffic.run(on: strategy) }
            thread.join()
            try result.get()
            #expect(recovered.value == 1000)
            #expect(outcome.violations == 0)
            #expect(outcome.pinned > 0)
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }
}
