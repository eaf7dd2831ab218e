import CRefuse
import DmaLinux
import Glibc
import GuestMemory
import Synchronization
import Testing

@testable import PinLock

/// Conversions that are begun, looked at and ended by one thread, which goes on with other things between.
@Suite struct PollingTests {
    private static var hooks: ConversionHooks { ConversionHooks() }

    private func begin<Strategy: PinStrategy>(
        _ strategy: Strategy, _ range: PageRange, until deadline: Deadline = .never
    ) throws -> PendingConversion {
        let step = try strategy.begin(
            range, to: .private, policy: .wait(until: deadline), hooks: Self.hooks)
        guard case .pending(let pending) = step else {
            throw Disagreement(description: "the conversion of \(range) is not pending: \(step)")
        }
        return pending
    }

    @Test(arguments: Candidate.safe)
    func aConversionIsPendingUntilTheUnpin(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
            let device = strategy.pinner(for: DeviceID(0))
            let other = strategy.pinner(for: DeviceID(1))
            let pin = try device.pin(range(0..<4))
            var pending = try begin(strategy, range(2..<6))
            for _ in 0..<100 { #expect(try strategy.poll(&pending, hooks: Self.hooks) == nil) }
            #expect(strategy.hasWaiter)
            #expect(refusalOfPin(page(5), by: other) == .converting(GFN(5)))
            #expect(refusalOfPin(range(6..<8), by: other) == nil)
            device.unpin(pin)
            #expect(try strategy.poll(&pending, hooks: Self.hooks) == .waited)
            #expect(!strategy.hasWaiter)
            #expect(strategy.arena.table.state(of: GFN(3)) == .private)
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }

    /// It searches twice at its begin, and then once for each time that something was let go: looking costs next to
    /// nothing.
    @Test(arguments: Candidate.safe)
    func itSearchesOnlyWhereSomethingWasLetGo(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Watched<Strategy>.self, pages: 8, sharing: range(0..<8))
            let device = strategy.pinner(for: DeviceID(0))
            let pins = try (0..<3).map { _ in try device.pin(range(0..<4)) }
            let before = strategy.looks.value
            var pending = try begin(strategy, page(1))
            #expect(strategy.looks.value == before + 2)
            for (index, pin) in pins.enumerated() {
                for _ in 0..<50 {
                    #expect(try strategy.poll(&pending, hooks: Self.hooks) == nil)
                }
                #expect(strategy.looks.value == before + 2 + index)
                device.unpin(pin)
                let answer = try strategy.poll(&pending, hooks: Self.hooks)
                #expect(answer == (index == 2 ? .waited : nil))
                #expect(strategy.looks.value == before + 3 + index)
            }
        }
        try check(candidate.type)
    }

    @Test(arguments: Candidate.safe)
    func whatIsAbandonedIsAsItWas(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
            let device = strategy.pinner(for: DeviceID(0))
            let pin = try device.pin(range(0..<4))
            let told = Mutex(0)
            let hooks = ConversionHooks(didWait: { _ in told.withLock { $0 += 1 } })
            let pending = try begin(strategy, range(2..<6))
            strategy.abandon(pending, hooks: hooks)
            #expect(!strategy.hasWaiter && told.withLock { $0 } == 1)
            #expect(refusalOfPin(range(0..<8), by: strategy.pinner(for: DeviceID(1))) == nil)
            #expect(strategy.refusalOfConversion(range(2..<6), to: .private) == .pinned(GFN(2)))
            device.unpin(pin)
            try strategy.convert(range(2..<6), to: .private)
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }

    @Test(arguments: Candidate.safe)
    func itEndsAtItsDeadline(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Watched<Strategy>.self, pages: 8, sharing: range(0..<8))
            let device = strategy.pinner(for: DeviceID(0))
            let pin = try device.pin(range(0..<4))
            let deadline = Deadline.after(milliseconds: 5)
            var pending = try begin(strategy, range(2..<6), until: deadline)
            while !deadline.hasPassed {}
            let before = strategy.looks.value
            #expect(throws: ConversionRefusal.deadlinePassed(GFN(2))) {
                try strategy.poll(&pending, hooks: Self.hooks)
            }
            // Once more before that.
            #expect(strategy.looks.value == before + 1)
            #expect(!strategy.hasWaiter)
            device.unpin(pin)
            try strategy.convert(range(2..<6), to: .private)
        }
        try check(candidate.type)
    }

    /// A pin that was refused after it could be seen is told of: it may have been what the conversion found.
    @Test(arguments: Candidate.safe.filter(\.refusedPinsShow))
    func aRefusedPinIsToldOf(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Watched<Strategy>.self, pages: 8, sharing: range(0..<8))
            let device = strategy.pinner(for: DeviceID(0))
            let pin = try device.pin(page(1))
            var pending = try begin(strategy, page(1))
            let before = strategy.looks.value
            #expect(refusalOfPin(page(1), by: device) == .converting(GFN(1)))
            #expect(try strategy.poll(&pending, hooks: Self.hooks) == nil)
            #expect(strategy.looks.value == before + 1)
            device.unpin(pin)
            #expect(try strategy.poll(&pending, hooks: Self.hooks) == .waited)
        }
        try check(candidate.type)
    }

    /// So does whoever sleeps, and both hear of one unpin.
    @Test(arguments: Candidate.safe)
    func itGoesOnBesideOneThatSleeps(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
            let device = strategy.pinner(for: DeviceID(0))
            let pin = try device.pin(range(0..<8))
            var pending = try begin(strategy, range(0..<2))
            let result = try duringConversion(
                on: strategy, of: range(4..<6), policy: .wait(until: .never)
            ) {
                waitUntil {
                    strategy.arena.coordination.onlookers.pointee.load(ordering: .relaxed) == 2
                }
                device.unpin(pin)
                let answer = try? strategy.poll(&pending, hooks: Self.hooks)
                #expect(answer == .waited)
            }
            #expect(result == .success(.waited))
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }

    /// One thread pins and unpins, the other converts by polling: none is pending for ever, and no page is both.
    @Test(arguments: Candidate.safe)
    func noReleaseIsMissed(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
            let device = strategy.pinner(for: DeviceID(0))
            let isOver = Atomic(false)
            nonisolated(unsafe) let pinner = device
            let thread = try WorkerThread(name: "device") {
                var backoff = Backoff()
                while !isOver.load(ordering: .acquiring) {
                    guard let pin = try? pinner.pin(range(0..<5)) else {
                        backoff.pause()
                        continue
                    }
                    pinner.unpin(pin)
                }
            }
            for _ in 0..<300 {
                let step = try strategy.begin(
                    range(3..<6), to: .private, policy: .wait(until: .never), hooks: Self.hooks)
                if case .pending(var pending) = step {
                    waitUntil { (try? strategy.poll(&pending, hooks: Self.hooks)) != .some(nil) }
                }
                try strategy.convert(range(3..<6), to: .shared)
            }
            isOver.store(true, ordering: .releasing)
            thread.join()
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }

    // MARK: Bounded

    /// Whoever holds the mutex, and for however long: a conversion is answered, and `deny` says that nobody could tell.
    @Test func aStuckMutexIsNotWaitedFor() throws {
        func check<Strategy: UnderOneMutex>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
            let isHeld = Atomic(false)
            let isOver = Atomic(false)
            let mutex = strategy.pins.mutex
            let holder = try WorkerThread(name: "holder") {
                mutex.withLock {
                    isHeld.store(true, ordering: .releasing)
                    var backoff = Backoff()
                    while !isOver.load(ordering: .acquiring) { backoff.pause() }
                }
            }
            waitUntil { isHeld.load(ordering: .acquiring) }
            #expect(strategy.refusalOfConversion(page(1), to: .private) == .busy(GFN(1)))
            #expect(
                strategy.refusalOfConversion(
                    page(1), to: .private, policy: .wait(until: .after(milliseconds: 5)))
                    == .deadlinePassed(GFN(1)))
            var pending = try begin(strategy, page(1))
            #expect(try strategy.poll(&pending, hooks: Self.hooks) == nil)
            isOver.store(true, ordering: .releasing)
            holder.join()
            // A search that was not completed speaks for nothing: the next look searches, though nothing was let go.
            #expect(try strategy.poll(&pending, hooks: Self.hooks) == .waited)
            #expect(try strategy.audit() == nil)
        }
        try check(MutexList.self)
        try check(IntervalTreeLock.self)
    }

    /// Where the kernel refuses the barrier that makes unpins see an onlooker, each look is a search.
    @Test func withoutABarrierEachLookIsASearch() throws {
        let strategy = try make(
            Watched<HasNoBarrier>.self, pages: 8, sharing: range(0..<8))
        let device = strategy.pinner(for: DeviceID(0))
        let pin = try device.pin(page(1))
        var pending = try begin(strategy, page(1))
        let before = strategy.looks.value
        for _ in 0..<5 { #expect(try strategy.poll(&pending, hooks: Self.hooks) == nil) }
        #expect(strategy.looks.value == before + 5)
        device.unpin(pin)
        #expect(try strategy.poll(&pending, hooks: Self.hooks) == .waited)
    }

    /// Where unpins are plain stores, a conversion that becomes pending takes that barrier: the kernel is asked for it.
    @Test(arguments: Candidate.safe.filter(\.unpinsByStores))
    func aPendingConversionTakesABarrier(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(
                LosesTheBarrier<Strategy>.self, pages: 8, sharing: range(0..<8))
            let device = strategy.pinner(for: DeviceID(0))
            let pin = try device.pin(page(1))
            let thread = try WorkerThread(name: "converter") {
                guard var pending = try? begin(strategy, page(1)) else { return }
                let before = strategy.looks.value
                for _ in 0..<5 {
                    #expect(throws: Never.self) {
                        try strategy.poll(&pending, hooks: Self.hooks)
                    }
                }
                #expect(strategy.looks.value == before + 5)
                strategy.abandon(pending, hooks: Self.hooks)
            }
            thread.join()
            #expect(strategy.looks.value > 0)
            device.unpin(pin)
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }

    /// Its device's process registers for that barrier; where the kernel refuses, there is no device.
    @Test(arguments: Candidate.safe.filter(\.unpinsByStores))
    func aDeviceThatNoBarrierReachesDoesNotJoin(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
            let thread = try WorkerThread(name: "device") {
                let process = DeviceSurroundings(
                    memory: GuestView(strategy.arena.mapping), hypervisor: -1)
                #expect(crefuse_from_now_on(CREFUSE_MEMBARRIER, EPERM) == 0)
                #expect(throws: SystemError.self) {
                    _ = try strategy.pinner(for: DeviceID(0), in: process)
                }
            }
            thread.join()
        }
        try check(candidate.type)
    }

    /// Without a barrier in the closing nobody can tell what is pinned.
    @Test func withoutABarrierInTheClosingNothingIsConverted() throws {
        let strategy = try make(CannotClose.self, pages: 8, sharing: range(0..<8))
        #expect(strategy.refusalOfConversion(page(1), to: .private) == .busy(GFN(1)))
        #expect(
            strategy.refusalOfConversion(page(1), to: .private, policy: .wait(until: .never))
                == .busy(GFN(1)))
        #expect(refusalOfPin(page(1), by: strategy.pinner(for: DeviceID(0))) == nil)
        #expect(try strategy.audit() == nil)
    }

    // MARK: Whatever ends a claim

    /// A conversion is pending on a pin whose device dies: it hears of the recovery, and of nothing else.
    @Test(arguments: Candidate.safe)
    func aRecoveryIsToldOf(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
            var device: Strategy.Device? = strategy.pinner(for: DeviceID(0))
            _ = try device!.pin(range(0..<4))
            var pending = try begin(strategy, page(1))
            device = nil
            #expect(try strategy.poll(&pending, hooks: Self.hooks) == nil)
            #expect(try strategy.recover(DeviceID(0), until: .now) == 1)
            #expect(try strategy.poll(&pending, hooks: Self.hooks) == .waited)
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }

    /// What a recovery has cleared before it waits for the lock is told of where it does not come to have that.
    @Test func aRecoveryWithoutTheLockIsToldOf() throws {
        let strategy = try make(Slots.self, pages: 8, sharing: range(0..<8))
        _ = try strategy.pinner(for: DeviceID(0)).pin(page(1))
        var pending = try begin(strategy, page(1))
        _ = strategy.arena.coordination.recoveryLock.withLock {
            #expect(throws: RecoveryRefusal.outOfTime(DeviceID(0))) {
                try strategy.recover(DeviceID(0), until: .now)
            }
        }
        #expect(try strategy.poll(&pending, hooks: Self.hooks) == .waited)
    }

    /// A recovery that is given up half way tells of what it has done.
    @Test func aRecoveryGivenUpHalfWayIsToldOf() throws {
        let strategy = try make(Slots.self, pages: 64, sharing: range(0..<64))
        let (dead, stuck) = (DeviceID(0), DeviceID(1))
        do {
            let device = strategy.pinner(for: dead)
            _ = try device.pin(page(1))
            // More pins than slots: the rest is counted, and one of those is left torn.
            for number in 2..<12 as Range<UInt64> { _ = try device.pin(page(number)) }
        }
        let journal = strategy.arena.journal(of: dead)
        let torn = try #require(journal.liveEntries().first)
        journal.entry(torn.index).state.pointee.bitwiseXor(
            Journal.State.held.rawValue ^ Journal.State.releasing.rawValue, ordering: .releasing)
        // A living device that does not come out of a pin.
        let living = JournalWriter(stuck, in: strategy.arena)
        let halfPin = try living.begin(page(40))
        var pending = try begin(strategy, page(1))
        #expect(throws: RecoveryRefusal.self) {
            try strategy.recover(dead, until: .after(milliseconds: 5))
        }
        #expect(try strategy.poll(&pending, hooks: Self.hooks) == .waited)
        living.end(halfPin)
    }
}

extension Candidate {
    /// Whether an unpin is a plain store, which a conversion that looks on meets with a barrier on all processors.
    fileprivate var unpinsByStores: Bool { type == Slots.self || type == Epoch.self }
}

/// Not broken: the kernel refuses its thread every barrier from its first search on.
private struct LosesTheBarrier<Original: PinStrategy>: Twin {
    let original: Original
    let looks = Counter()

    init(arena: Arena) { original = Original(arena: arena) }

    func search(_ range: PageRange, within nanoseconds: UInt64) -> PinSearch {
        if looks.value == 0 { #expect(crefuse_from_now_on(CREFUSE_MEMBARRIER, EPERM) == 0) }
        looks.add(1)
        return original.search(range, within: nanoseconds)
    }
}

/// Its process cannot have the barrier that a conversion takes once it looks on.
private struct HasNoBarrier: Twin {
    let original: RangeTree

    init(arena: Arena) { original = RangeTree(arena: arena) }

    func meetUnpins() throws(SystemError) { throw SystemError("membarrier", code: ENOMEM) }
}

/// The same of the one in its closing.
private struct CannotClose: Twin {
    let original: RangeTree

    init(arena: Arena) { original = RangeTree(arena: arena) }

    func close(_ range: PageRange) throws(SystemError) {
        original.close(range)
        throw SystemError("membarrier", code: ENOMEM)
    }
}
