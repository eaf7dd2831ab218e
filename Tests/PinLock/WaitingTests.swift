import DmaLinux
import GuestMemory
import Synchronization
import Testing

@testable import PinLock

/// What a conversion came to that runs on a thread of its own.
private final class Outcome: Sendable {
    let result = Mutex<Result<ConversionPath, ConversionRefusal>?>(nil)
}

/// Converts `range` to private on another thread and view, and runs `body` once the pages are claimed.
/// `wakes` counts how often it has asked for the devices to be woken.
func duringConversion<Strategy: PinStrategy>(
    on strategy: Strategy, of range: PageRange, policy: ConflictPolicy,
    wakes: Counter = Counter(), _ body: () throws -> Void
) throws -> Result<ConversionPath, ConversionRefusal> {
    let outcome = Outcome()
    let view = Strategy(arena: try strategy.arena.viewedAgain())
    let thread = try WorkerThread(name: "converter") {
        let result = Result { () throws(ConversionRefusal) in
            try view.convert(
                range, to: .private, policy: policy,
                hooks: ConversionHooks(wakeDevices: { wakes.add(1) }))
        }
        outcome.result.withLock { $0 = result }
    }
    waitUntil { !strategy.arena.table.isOpen(range.start) }
    let body = Result { try body() }
    thread.join()
    try body.get()
    return outcome.result.withLock { $0! }
}

extension PinStrategy {
    /// Whether a conversion has found a pin and waits for it.
    var hasWaiter: Bool {
        arena.coordination.hasOnlookers
    }
}

@Suite struct WaitingTests {
    @Test(arguments: Candidate.safe)
    func aConversionWaitsForTheUnpinAndKeepsNewPinsOut(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
            let holder = strategy.pinner(for: DeviceID(0))
            let other = strategy.pinner(for: DeviceID(1))
            let pin = try holder.pin(range(0..<4))
            let result = try duringConversion(
                on: strategy, of: page(1), policy: .wait(until: .never)
            ) {
                waitUntil { refusalOfPin(range(0..<8), by: other) == .converting(GFN(1)) }
                #expect(refusalOfPin(page(1), by: holder) == .converting(GFN(1)))
                #expect(refusalOfPin(range(2..<8), by: other) == nil)
                #expect(
                    strategy.refusalOfConversion(range(0..<2), to: .private)
                        == .converting(GFN(1)))
                #expect(strategy.arena.table.state(of: GFN(1)) == .shared)
                waitUntil { strategy.hasWaiter }
                holder.unpin(pin)
            }
            #expect(result == .success(.waited))
            #expect(refusalOfPin(range(0..<4), by: other) == .privatePage(GFN(1)))
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }

    /// The unpin comes before, while and after the conversion looks for it; a lost wake-up would never end.
    @Test(arguments: Candidate.safe)
    func noWakeUpIsLost(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
            let device = strategy.pinner(for: DeviceID(0))
            for turn in 0..<500 {
                let pin = try device.pin(range(0..<5))
                let result = try duringConversion(
                    on: strategy, of: range(3..<6), policy: .wait(until: .never)
                ) {
                    var backoff = Backoff()
                    for _ in 0..<turn % 100 { backoff.pause() }
                    device.unpin(pin)
                }
                #expect(result == .success(.waited) || result == .success(.immediate))
                try strategy.convert(range(3..<6), to: .shared)
            }
        }
        try check(candidate.type)
    }

    /// For a moment a refused pin has counted; a conversion that saw it must look again.
    @Test(arguments: Candidate.safe.filter(\.refusedPinsShow))
    func aRefusedPinWakesAsAnUnpinDoes(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Watched<Strategy>.self, pages: 8, sharing: range(0..<8))
            let device = strategy.pinner(for: DeviceID(0))
            let pin = try device.pin(page(1))
            let before = strategy.looks.value
            let thread = try WorkerThread(name: "converter") {
                _ = strategy.refusalOfConversion(
                    page(1), to: .private, policy: .wait(until: .never))
            }
            // Once before it counts itself in, and once after: now it sleeps, or is about to.
            waitUntil { strategy.looks.value == before + 2 }
            #expect(refusalOfPin(page(1), by: device) == .converting(GFN(1)))
            let patience = Deadline.after(milliseconds: 30_000)
            waitUntil { strategy.looks.value > before + 2 || patience.hasPassed }
            #expect(strategy.looks.value > before + 2)
            device.unpin(pin)
            thread.join()
        }
        try check(candidate.type)
    }

    @Test(arguments: Candidate.safe)
    func anotherPageOfTheGiBConvertsMeanwhile(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
            let device = strategy.pinner(for: DeviceID(0))
            let pin = try device.pin(page(1))
            let result = try duringConversion(
                on: strategy, of: page(1), policy: .wait(until: .never)
            ) {
                for _ in 0..<10 {
                    // The other conversion may be taken off its processor with the mutex in hand.
                    waitUntil {
                        strategy.refusalOfConversion(range(2..<5), to: .private) != .busy(GFN(2))
                    }
                    #expect(strategy.arena.table.state(of: GFN(3)) == .private)
                    #expect(strategy.refusalOfConversion(range(2..<5), to: .shared) == nil)
                }
                waitUntil { strategy.hasWaiter }
                device.unpin(pin)
            }
            #expect(result == .success(.waited))
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }

    @Test(arguments: Candidate.safe)
    func aConversionGivesUpAtItsDeadline(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
            let holder = strategy.pinner(for: DeviceID(0))
            let other = strategy.pinner(for: DeviceID(1))
            let pin = try holder.pin(range(2..<8))
            for deadline in [Deadline.now, .after(milliseconds: 2)] {
                #expect(
                    strategy.refusalOfConversion(
                        range(0..<4), to: .private, policy: .wait(until: deadline))
                        == .deadlinePassed(GFN(2)))
                #expect(refusalOfPin(range(0..<8), by: other) == nil)
            }
            holder.unpin(pin)
            try strategy.convert(range(0..<4), to: .private, policy: .wait(until: .now))
            #expect(try strategy.audit() == nil)
        }
        try check(candidate.type)
    }

    /// Not a bit of the arena is another one after a refusal, whatever the reason.
    @Test(arguments: Candidate.safe, [EntrySize.small, .large])
    func aRefusalLeavesEverythingAsItWas(_ candidate: Candidate, entrySize: EntrySize) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = try make(
                Strategy.self, pages: 2000, entrySize: entrySize, sharing: range(3..<1999))
            let device = strategy.pinner(for: DeviceID(0))
            let pin = try device.pin(range(600..<601))
            let before = try contents(of: strategy.arena)
            for refused in [page(600), range(3..<1999), range(0..<601), range(599..<2000)] {
                #expect(strategy.refusalOfConversion(refused, to: .private) != nil)
                #expect(
                    strategy.refusalOfConversion(
                        refused, to: .private, policy: .wait(until: .now)) != nil)
                #expect(strategy.refusalOfConversion(refused, to: .shared) != nil)
                #expect(try contents(of: strategy.arena) == before)
            }
            device.unpin(pin)
        }
        try check(candidate.type)
    }

    /// Everything that is not zero.
    private func contents(of arena: Arena) throws -> [Int: UInt64] {
        var words: [Int: UInt64] = [:]
        try arena.mapping.forEachPopulatedExtent { extent in
            for offset in stride(from: extent.lowerBound, to: extent.upperBound, by: 8) {
                let word = arena.mapping.base.load(fromByteOffset: offset, as: UInt64.self)
                if word != 0 { words[offset] = word }
            }
        }
        return words
    }
}
