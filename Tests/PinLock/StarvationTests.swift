import DmaLinux
import GuestMemory
import Synchronization
import Testing

@testable import PinLock

/// Pins that keep coming and pins that never go do not hold a waiting conversion up beyond its deadline. All by counts:
/// of pins that got in, and of looks.
@Suite struct StarvationTests {
    /// What a conversion came to that waits on a thread of its own.
    private final class Ending: Sendable {
        let refusal = Mutex<ConversionRefusal?>(nil)
        let isThere = Atomic<Bool>(false)
    }

    private func convertInThread(
        _ strategy: some PinStrategy, _ range: PageRange, until deadline: Deadline, _ ending: Ending
    ) throws -> WorkerThread {
        try WorkerThread(name: "converter") {
            let refusal = strategy.refusalOfConversion(
                range, to: .private, policy: .wait(until: deadline))
            ending.refusal.withLock { $0 = refusal }
            ending.isThere.store(true, ordering: .releasing)
        }
    }

    // MARK: Pins that keep coming

    /// Two devices relieve each other: one pins before the other lets go. How often that worked, up to `most` times,
    /// while a conversion of the page waited for them.
    private func relay<Strategy: PinStrategy>(
        on strategy: Strategy, looks: Counter, most: Int
    ) throws -> Int {
        let devices = (0...1).map { strategy.pinner(for: DeviceID($0)) }
        var holder = 0
        var held = try devices[holder].pin(page(1))
        let ending = Ending()
        let thread = try convertInThread(strategy, page(1), until: .never, ending)
        // Once before it counts itself in, and once after: now it sleeps, or is about to.
        waitUntil { looks.value >= 2 }
        var reliefs = 0
        while reliefs < most, let next = firstPin(devices[1 - holder]) {
            reliefs += 1
            let seen = looks.value
            devices[holder].unpin(held)
            (held, holder) = (next, 1 - holder)
            waitUntil { looks.value > seen }
        }
        devices[holder].unpin(held)
        thread.join()
        #expect(ending.refusal.withLock { $0 } == nil)
        return reliefs
    }

    /// Of a thousand tries, since a waiter that lets pins in keeps them out while it looks.
    private func firstPin<Device: Pinner>(_ device: Device) -> Pin? {
        var backoff = Backoff()
        for _ in 0..<1000 {
            if let pin = try? device.pin(page(1)) { return pin }
            backoff.pause()
        }
        return nil
    }

    /// Nobody relieves anybody, so the conversion has waited for the pin that was there and for no other.
    @Test(arguments: Candidate.safe)
    func newPinsDoNotStarveAConversionThatWaits(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Watched<Strategy>.self, pages: 8, sharing: range(0..<8))
            #expect(try relay(on: strategy, looks: strategy.looks, most: 100) == 0)
            #expect(strategy.arena.table.state(of: GFN(1)) == .private)
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }

    /// For as long as the devices like.
    @Test func aWaiterThatLetsPinsInIsCaught() throws {
        let strategy = try make(LetsPinsIn.self, pages: 8, sharing: range(0..<8))
        #expect(try relay(on: strategy, looks: strategy.looks, most: 100) == 100)
    }

    // MARK: A pin that never goes

    private struct Siege {
        /// Pins of the page that succeeded while the conversion waited.
        var pinsThatGotIn = 0
        /// Looks for pins that began after the deadline.
        var lateLooks = 0
        var refusal: ConversionRefusal?
    }

    /// One device never lets go of the page; another tries to pin it for as long as the conversion waits, and pins
    /// and unpins its neighbour, which wakes the conversion each time.
    private func siege<Strategy: Overtime>(of strategy: Strategy) throws -> Siege {
        let holder = strategy.pinner(for: DeviceID(0))
        let other = strategy.pinner(for: DeviceID(1))
        let pin = try holder.pin(page(1))
        let deadline = Deadline.after(milliseconds: 20)
        strategy.looks.deadline.store(deadline.nanoseconds, ordering: .releasing)
        let ending = Ending()
        let thread = try convertInThread(strategy, page(1), until: deadline, ending)
        var siege = Siege()
        while !ending.isThere.load(ordering: .acquiring) {
            if let neighbour = try? other.pin(page(2)) { other.unpin(neighbour) }
            let wasWaiting = strategy.hasWaiter
            guard let late = try? other.pin(range(0..<3)) else { continue }
            // Waiters are counted out before the page is opened again.
            if wasWaiting, strategy.hasWaiter { siege.pinsThatGotIn += 1 }
            other.unpin(late)
        }
        thread.join()
        siege.lateLooks = strategy.looks.late.value
        siege.refusal = ending.refusal.withLock { $0 }
        #expect(refusalOfPin(page(1), by: other) == nil, "the page is open again")
        holder.unpin(pin)
        return siege
    }

    /// At the latest the conversion has just begun to look when its time is over, and looks once more when it has
    /// counted itself in.
    @Test(arguments: Candidate.safe)
    func aConversionThatWaitsEndsWithItsDeadline(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(KeepsTime<Strategy>.self, pages: 8, sharing: range(0..<8))
            let siege = try siege(of: strategy)
            #expect(siege.refusal == .deadlinePassed(GFN(1)))
            #expect(siege.pinsThatGotIn == 0)
            #expect(siege.lateLooks <= 2)
            try strategy.convert(page(1), to: .private, policy: .wait(until: .now))
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }

    @Test func aDeadlineThatIsRenewedIsCaught() throws {
        let strategy = try make(RenewsItsDeadline.self, pages: 8, sharing: range(0..<8))
        #expect(try siege(of: strategy).lateLooks > 2)
    }

    // MARK: What was waited

    /// Carried out or not, but only where there was something to wait for.
    @Test(arguments: Candidate.safe)
    func everyWaitIsToldOnce(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
            let device = strategy.pinner(for: DeviceID(0))
            let told = Mutex<[UInt64]>([])
            let hooks = ConversionHooks(didWait: { nanoseconds in
                told.withLock { $0.append(nanoseconds) }
            })
            let pin = try device.pin(page(1))
            let start = monotonicNanoseconds()
            for policy in [ConflictPolicy.deny, .wait(until: .after(milliseconds: 1))] {
                #expect(
                    strategy.refusalOfConversion(
                        page(1), to: .private, policy: policy, hooks: hooks) != nil)
            }
            let elapsed = monotonicNanoseconds() - start
            let waits = told.withLock { $0 }
            #expect(waits.count == 1 && waits.allSatisfy { (1...elapsed).contains($0) })
            device.unpin(pin)
            #expect(
                strategy.refusalOfConversion(
                    page(1), to: .private, policy: .wait(until: .never), hooks: hooks) == nil)
            #expect(told.withLock { $0.count } == 1)
        }
        try check(candidate.type)
    }

    // MARK: Pins that try again

    /// Two pins that a conversion refuses do not refuse each other: both try at once, and when it is given up both hold.
    @Test(arguments: Candidate.safe)
    func pinsThatTryAgainDoNotRefuseEachOther(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
            let holder = strategy.pinner(for: DeviceID(2))
            let pin = try holder.pin(page(3))
            let step = try strategy.begin(
                page(3), to: .private, policy: .wait(until: .never), hooks: ConversionHooks())
            guard case .pending(let pending) = step else {
                throw Disagreement(description: "the conversion is not pending: \(step)")
            }
            let (refused, holding) = (Counter(), Counter())
            let devices = [range(0..<5), range(2..<8)].enumerated().map { index, range in
                { @Sendable in
                    let device = strategy.pinner(for: DeviceID(index))
                    var pin = try? device.pin(range)
                    if pin == nil { refused.add(1) }
                    waitUntil {
                        if pin == nil { pin = try? device.pin(range) }
                        return pin != nil
                    }
                    holding.add(1)
                    waitUntil { holding.value == 2 }
                    if let pin { device.unpin(pin) }
                }
            }
            try inParallel(
                devices + [
                    {
                        waitUntil { refused.value == 2 }
                        strategy.abandon(pending, hooks: ConversionHooks())
                    }
                ])
            holder.unpin(pin)
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }
}
