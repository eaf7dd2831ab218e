import DmaLinux
import DmaStatistics
import Glibc
import GuestMemory
import Synchronization
import Testing

@testable import PinLock

/// Pins under a mutex: what only they have to stand.
@Suite struct LockedPinsTests {
    private let dead = DeviceID(0)
    private let living = DeviceID(1)

    // MARK: The death of the mutex's owner

    /// How far a device had come when it died with the mutex in hand.
    enum Death: CaseIterable {
        case beforeTheIndex, inTheIndex, afterTheIndex, listed, leaving, left

        var isUnpin: Bool { self == .leaving || self == .left }
    }

    /// A device ends in the middle of a pin of `range`, or of its unpin.
    private func die<Index: PinIndex>(
        _ death: Death, pinning range: PageRange, in pins: LockedPins<Index>
    ) throws {
        let dead = dead
        try WorkerThread(name: "dies") {
            let journal = pins.journal(of: dead)
            if death.isUnpin {
                journal.beginRelease(try! pins.pin(range, journal))
                lock(pins)
                if death == .left { pins.index.remove(0, of: dead) }
            } else {
                let pin = try! journal.begin(range)
                lock(pins)
                if death == .beforeTheIndex { return }
                pins.index.insert(pin.entry, of: dead)
                if death == .listed { journal.hold(pin) }
            }
            // Half-written: of the tree, nothing is left that makes sense.
            if death == .inTheIndex || death == .leaving { scramble(pins.index) }
        }.join()
    }

    private func checkDeath<Index: PinIndex>(
        _ death: Death, in pins: LockedPins<Index>, _ strategy: some PinStrategy
    ) throws {
        let what = "\(death)"
        let survivor = pins.journal(of: living)
        let held = try [range(2..<9), page(5), range(12..<14)].map { try pins.pin($0, survivor) }
        try die(death, pinning: range(4..<16), in: pins)

        // Whoever comes next is let in, and finds what there was.
        let another = try pins.pin(range(0..<4), survivor)
        try agree(
            strategy.firstPinned(in: range(9..<14)),
            death == .listed || death.isUnpin
                ? GFN(9) : GFN(12), "\(what), what is pinned")
        try agree(pins.audit(), nil, what)
        try agree(strategy.recover(dead, until: .now), 1, "\(what), recovered")
        try agree(pins.audit(), nil, "\(what), recovered")
        try agree(strategy.firstPinned(in: range(9..<16)), GFN(12), "\(what), left pinned")
        for pin in held + [another] { pins.unpin(pin, survivor) }
        try agree(
            strategy.refusalOfConversion(range(0..<16), to: .private), nil, "\(what), in the end")
        try agree(pins.audit(), nil, "\(what), in the end")
    }

    @Test(arguments: Death.allCases)
    func aDeathWithTheMutexInHand(_ death: Death) throws {
        let list = try make(MutexList.self, pages: 16, sharing: range(0..<16))
        try checkDeath(death, in: list.pins, list)
        let tree = try make(IntervalTreeLock.self, pages: 16, sharing: range(0..<16))
        try checkDeath(death, in: tree.pins, tree)
    }

    /// A converter that comes first repairs as a device does; a recovery too.
    @Test func aConverterIsTheNextOwner() throws {
        let strategy = try make(IntervalTreeLock.self, pages: 16, sharing: range(0..<16))
        let survivor = strategy.pins.journal(of: living)
        let pin = try strategy.pins.pin(page(3), survivor)
        try die(.inTheIndex, pinning: range(2..<7), in: strategy.pins)
        #expect(strategy.refusalOfConversion(range(0..<8), to: .private) == .pinned(GFN(3)))
        #expect(try strategy.recover(dead, until: .now) == 1)
        try die(.leaving, pinning: range(2..<7), in: strategy.pins)
        #expect(try strategy.recover(dead, until: .now) == 1)
        strategy.pins.unpin(pin, survivor)
        try strategy.convert(range(0..<16), to: .private)
        #expect(try strategy.audit() == nil)
    }

    /// A recovery takes the dead device's pins out, and makes the index anew only after a death with the mutex in hand:
    /// everybody waits for that, as long as there are pins.
    @Test func aRecoveryDoesNotMakeTheIndexAnew() throws {
        let strategy = try make(IntervalTreeLock.self, pages: 16, sharing: range(0..<16))
        let pins = LockedPins<CountsRebuilds>(arena: strategy.arena)
        let survivor = pins.journal(of: living)
        _ = try pins.pin(page(3), survivor)
        do {
            let journal = pins.journal(of: dead)
            for pinned in [range(1..<5), page(3), range(2..<16)] {
                _ = try pins.pin(pinned, journal)
            }
            // About to give one back, and to take another.
            journal.beginRelease(try pins.pin(page(7), journal))
            _ = try journal.begin(page(8))
        }
        #expect(try pins.recover(dead, until: .now) == 5)
        #expect(pins.index.rebuilds.value == 0)
        #expect(try pins.audit() == nil)
        #expect(strategy.firstPinned(in: range(0..<16)) == GFN(3))
        try die(.inTheIndex, pinning: range(2..<7), in: pins)
        #expect(try pins.recover(dead, until: .now) == 1)
        #expect(pins.index.rebuilds.value == 1)
        #expect(try pins.audit() == nil)
    }

    @Test func aTreeThatIsNotMadeAnewIsCaught() throws {
        let strategy = try make(IntervalTreeLock.self, pages: 16, sharing: range(0..<16))
        let pins = LockedPins<KeepsWhatItFinds>(arena: strategy.arena)
        let survivor = pins.journal(of: living)
        _ = try pins.pin(page(3), survivor)
        try die(.inTheIndex, pinning: range(2..<7), in: pins)
        #expect(pins.search(range(0..<8), within: 1_000_000_000) == .none)
        #expect(try pins.audit() != nil)
    }

    /// A device is stopped with the mutex in hand, after its entry has settled: a recovery says who it is.
    @Test func aRecoveryGivesUpOnAMutexThatIsStuck() throws {
        let strategy = try make(MutexList.self, pages: 8, sharing: range(0..<8))
        var device: MutexList.Device? = strategy.pinner(for: dead)
        _ = try device!.pin(page(1))
        device = nil
        let pins = strategy.pins
        let stuck = pins.journal(of: living)
        let pin = try pins.pin(page(2), stuck)
        stuck.isAtMutex = true
        let refusal = Counter()
        try pins.mutex.withLock {
            Result {
                try WorkerThread(name: "recovery") { [dead, living] in
                    do throws(RecoveryRefusal) {
                        _ = try pins.recover(dead, until: .after(milliseconds: 1))
                    } catch {
                        refusal.add(error == .stillMoving(living) ? 1 : 100)
                    }
                }.join()
            }
        }.get()
        #expect(refusal.value == 1)
        #expect(strategy.arena.livePins == 2)
        #expect(try strategy.recover(dead, until: .now) == 1)
        pins.unpin(pin, stuck)
        #expect(!stuck.isAtMutex && strategy.arena.livePins == 0)
    }

    // MARK: The tree

    /// A device that has come to the mutex says so until it has left it behind, and what it is about to do; a recovery
    /// that does not get it names one.
    @Test func whoIsAtTheMutexSaysSo() throws {
        func check<Strategy: UnderOneMutex>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
            let (first, dead, arena) = (DeviceID(0), DeviceID(1), strategy.arena)
            _ = try strategy.pinner(for: dead).pin(page(6))
            arena.journal(of: dead).isAtMutex = true
            let isPinned = Atomic(false)
            let isToUnpin = Atomic(false)
            var thread: WorkerThread?
            let state = arena.journal(of: first).entry(0).state
            try strategy.pins.mutex.withLock {
                Result {
                    thread = try WorkerThread(name: "device") {
                        let pinner = strategy.pinner(for: first)
                        let pin = try! pinner.pin(page(2))
                        isPinned.store(true, ordering: .releasing)
                        waitUntil { isToUnpin.load(ordering: .acquiring) }
                        pinner.unpin(pin)
                    }
                    waitUntil { arena.journal(of: first).isAtMutex }
                    #expect(state.pointee.load(ordering: .acquiring) & 3 == 1)
                    try WorkerThread(name: "recovery") {
                        #expect(throws: RecoveryRefusal.stillMoving(first)) {
                            try strategy.recover(dead, until: .now)
                        }
                    }.join()
                }
            }.get()
            waitUntil { isPinned.load(ordering: .acquiring) }
            #expect(!arena.journal(of: first).isAtMutex)
            strategy.pins.mutex.withLock {
                isToUnpin.store(true, ordering: .releasing)
                waitUntil { arena.journal(of: first).isAtMutex }
                #expect(state.pointee.load(ordering: .acquiring) & 3 == 3)
            }
            thread?.join()
            #expect(!arena.journal(of: first).isAtMutex)
            #expect(try strategy.recover(dead, until: .never) == 1)
            #expect(!arena.journal(of: dead).isAtMutex)
            #expect(try strategy.audit() == nil)
        }
        try check(MutexList.self)
        try check(IntervalTreeLock.self)
    }

    /// Many pins on few pages, by two devices, against the reference.
    @Test(arguments: [UInt64(1), 2, 3])
    func manyPins(seed: UInt64) throws {
        try life(of: IntervalTreeLock.self, seed: seed)
        try life(of: MutexList.self, seed: seed)
    }

    private func life<Strategy: PinStrategy>(of _: Strategy.Type, seed: UInt64) throws {
        let strategy = try make(Strategy.self, pages: 300)
        var sequence = RandomSequence(
            strategy, borders: [10, 20, 50, 100, 200], longest: 60, seed: seed)
        try sequence.share(range(0..<300))
        try sequence.run(steps: 3000)
        #expect(try strategy.audit() == nil)
    }

    /// The tree finds what reading all pins from end to end does, however many there are.
    @Test func theTreeFindsWhatTheListFinds() throws {
        let strategy = try make(IntervalTreeLock.self, pages: 1000, sharing: range(0..<1000))
        let list = PinList(at: strategy.arena.section, arena: strategy.arena)
        let devices = [strategy.pinner(for: dead), strategy.pinner(for: living)]
        var random = SplitMix64(seed: 5)
        func anyRange(upTo longest: UInt64) -> PageRange {
            let start = UInt64.random(in: 0..<1000, using: &random)
            return range(start..<min(1000, start + .random(in: 1...longest, using: &random)))
        }
        var held: [Pin] = []
        for step in 0..<3000 {
            if held.count < step % 300 {
                let longest: UInt64 = Bool.random(using: &random) ? 4 : 400
                let list = (0..<Int.random(in: 1...3, using: &random)).map { _ in
                    anyRange(upTo: longest)
                }
                do throws(PinRefusal) {
                    held.append(try devices[step % 2].pin(list.span))
                } catch {
                    // All places for lists are taken.
                    #expect(error == .tooManyPins(list[0].start))
                }
            } else if !held.isEmpty {
                let pin = held.remove(at: .random(in: held.indices, using: &random))
                devices[pin.device.rawValue].unpin(pin)
            }
            let probe = anyRange(upTo: 20)
            try agree(strategy.firstPinned(in: probe), list.firstPinned(in: probe), "\(probe)")
            if step % 100 == 0 { #expect(try strategy.audit() == nil) }
        }
    }

    /// Who knows how an arena ranks its pins can choose ranges that make its tree a list; in another arena they do not.
    @Test func noGuestMakesTheTreeAList() throws {
        let count = 2000
        func strategy() throws -> IntervalTreeLock {
            try make(IntervalTreeLock.self, pages: UInt64(count), sharing: range(0..<UInt64(count)))
        }
        func depth(filling strategy: IntervalTreeLock, rankedBy known: IntervalTreeLock) throws
            -> Int
        {
            let device = strategy.pinner(for: living)
            // A new device's pins take the entries in order.
            let first = IntervalTree.Link(living.rawValue * Journal.capacity + 1)
            let links = first..<first + IntervalTree.Link(count)
            let ranked = links.sorted {
                known.pins.index.priority($0) < known.pins.index.priority($1)
            }
            var starts: [IntervalTree.Link: UInt64] = [:]
            for (rank, link) in ranked.enumerated() { starts[link] = UInt64(rank) }
            for link in links { _ = try device.pin(page(starts[link]!)) }
            #expect(try strategy.audit() == nil)
            return deepest(strategy.pins.index)
        }
        let (known, other) = (try strategy(), try strategy())
        #expect(known.arena.secret != other.arena.secret)
        #expect(try depth(filling: known, rankedBy: known) == count)
        // Some 25 in expectation; 100 would be a wonder.
        #expect(try depth(filling: other, rankedBy: known) < 100)
        #expect(try other.arena.reset(pages: other.arena.pages, entrySize: .small).secret != 0)
    }

    private func deepest(_ tree: IntervalTree) -> Int {
        var deepest = 0
        var pending = [(link: tree.root.pointee, depth: 1)]
        while let (link, depth) = pending.popLast() {
            guard link != 0 else { continue }
            deepest = max(deepest, depth)
            let node = tree.node(link).pointee
            pending += [(node.left, depth + 1), (node.right, depth + 1)]
        }
        return deepest
    }

    @Test func forgettingPinsThatReachInIsCaught() {
        #expect(throws: Disagreement.self) { try life(of: ForgetsPinsThatReachIn.self, seed: 1) }
    }

    // MARK: The look at the pages

    @Test func lookingBeforeTheMutexIsCaught() throws {
        let oracle = Oracle(watching: Set(0..<8))
        let strategy = try make(LooksBeforeTheMutex.self, pages: 8, sharing: range(0..<8))
        let device = strategy.pinner(for: dead)
        device.betweenLookAndMutex = {
            #expect(
                strategy.refusalOfConversion(page(3), to: .private, hooks: oracle.hooks) == nil)
        }
        let pin = try device.pin(range(2..<5))
        oracle.beginWrite(pin.range)
        #expect(oracle.violations.load(ordering: .relaxed) > 0)
        #expect(try strategy.audit() != nil)
    }
}

/// Takes the mutex and never gives it back.
private func lock<Index>(_ pins: LockedPins<Index>) {
    let base = pins.arena.section + Forest.byteCount(pages: pins.arena.pages)
    _ = pthread_mutex_lock(base.assumingMemoryBound(to: pthread_mutex_t.self))
}

private func scramble(_ index: some PinIndex) {
    guard let tree = index as? IntervalTree ?? (index as? KeepsWhatItFinds)?.original else {
        return
    }
    tree.root.pointee = 0
}
