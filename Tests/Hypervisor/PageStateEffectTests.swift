import DmaLinux
import Glibc
import GuestMemory
import PinLock
import Synchronization
import Testing

@testable import Hypervisor

/// What happens to pages besides the lock, by effects that do nothing but say so.
@Suite struct PageStateEffectTests {
    /// What was asked for, by a clock that moves when an effect says so.
    private final class Script: Sendable {
        let names = Mutex<[String]>([])
        private let ticks = Atomic<UInt64>(0)
        private let looks = Atomic(0)
        var lookCount: Int { looks.load(ordering: .relaxed) }

        func take(_ time: UInt64) { ticks.wrappingAdd(time, ordering: .relaxed) }
        func now() -> UInt64 {
            looks.wrappingAdd(1, ordering: .relaxed)
            return ticks.load(ordering: .relaxed)
        }
    }

    private final class Toy: PageStateEffect {
        let isPaidFor: Bool
        private let name: String
        private let time: UInt64
        private let error: SystemError?
        private let script: Script

        init(
            _ name: String, takes time: UInt64 = 0, isPaidFor: Bool = false,
            failing error: SystemError? = nil, in script: Script
        ) {
            (self.name, self.time, self.error) = (name, time, error)
            (self.isPaidFor, self.script) = (isPaidFor, script)
        }

        func willCommit(_ range: PageRange, to state: PageState) throws(SystemError) {
            script.names.withLock { $0.append(name) }
            script.take(time)
            if let error { throw error }
        }
    }

    private let script = Script()

    /// For how long no conversion pays.
    private func commit(_ effects: PageStateEffects, to state: PageState) -> UInt64 {
        effects.willCommit(page(0), to: state, now: script.now)
    }

    @Test func onTheWayBackTheLastComesFirst() {
        let effects = PageStateEffects(["a", "b", "c"].map { Toy($0, in: script) })
        _ = commit(effects, to: .private)
        _ = commit(effects, to: .shared)
        #expect(script.names.withLock { $0 } == ["a", "b", "c", "c", "b", "a"])
    }

    @Test(arguments: [PageState.private, .shared])
    func onlyWhatNoConversionPaysForIsSubtracted(state: PageState) {
        let effects = PageStateEffects([
            Toy("paid", takes: 1, isPaidFor: true, in: script),
            Toy("unpaid", takes: 20, in: script),
            Toy("paid, too", takes: 300, isPaidFor: true, in: script),
            Toy("unpaid, too", takes: 4000, in: script),
        ])
        #expect(commit(effects, to: state) == 4020)
    }

    /// A turn that only watches has one: its clock is in every conversion.
    @Test func oneEffectIsTwoLooksAtTheClock() {
        _ = commit(PageStateEffects([Toy("alone", in: script)]), to: .private)
        #expect(script.lookCount == 2)
    }

    /// The others still have their turn, and what is told is what came first.
    @Test func theFirstFailureIsKept() {
        func error(_ code: Int32) -> SystemError { SystemError("toy", code: code) }
        let effects = PageStateEffects([
            Toy("a", in: script), Toy("b", failing: error(ENOMEM), in: script),
            Toy("c", failing: error(EIO), in: script),
        ])
        #expect(effects.firstFailure == nil)
        _ = commit(effects, to: .private)
        #expect(script.names.withLock { $0 } == ["a", "b", "c"])
        #expect(effects.firstFailure == error(ENOMEM))
        _ = commit(effects, to: .shared)
        #expect(effects.firstFailure == error(ENOMEM))
    }

    // MARK: In a conversion

    /// Takes a while, and knows for how long it did at least.
    private final class Slow: PageStateEffect {
        let isPaidFor: Bool
        private let ticks = Atomic<UInt64>(0)
        var nanoseconds: UInt64 { Host.clock.nanoseconds(from: ticks.load(ordering: .relaxed)) }

        init(isPaidFor: Bool) { self.isPaidFor = isPaidFor }

        func willCommit(_ range: PageRange, to state: PageState) {
            let start = Host.clock.now()
            let end = Deadline.after(nanoseconds: 100_000)
            while !end.hasPassed {}
            ticks.wrappingAdd(Host.clock.now() &- start, ordering: .relaxed)
        }
    }

    private func log(of effect: any PageStateEffect) throws -> ConversionLog {
        let (handler, _) = try Host().handler(effects: PageStateEffects([effect]))
        #expect(handler.ask(page(3), toPrivate: false) == .done)
        return handler.takeLog()
    }

    @Test func whatIsPaidForIsInTheConversionsTime() throws {
        let slow = Slow(isPaidFor: true)
        let log = try log(of: slow)
        #expect(log.checking == 0)
        #expect(log.call.maximum! >= slow.nanoseconds)
        #expect(log.latency.maximum! >= slow.nanoseconds)
    }

    @Test func whatIsNotPaidForIsToldBesides() throws {
        let slow = Slow(isPaidFor: false)
        let start = Host.clock.now()
        let log = try log(of: slow)
        let all = Host.clock.nanoseconds(from: Host.clock.now() &- start) as UInt64
        #expect(UInt64(log.checking) >= slow.nanoseconds)
        #expect(log.call.maximum! <= all - slow.nanoseconds)
    }

    /// A conversion goes on where an effect fails; the turn's end has it told.
    @Test func aConversionGoesOnWhereAnEffectFails() throws {
        let error = SystemError("toy", code: EIO)
        let host = try Host()
        let (handler, strategy) = try host.handler(
            effects: host.effects(Toy("toy", failing: error, in: script)))
        #expect(handler.ask(page(3), toPrivate: false) == .done)
        #expect(strategy.arena.table.state(of: GFN(3)) == .shared)
        #expect(handler.host.effects.firstFailure == error)
    }
}
