import CRefuse
import DmaLinux
import Glibc
import GuestMemory
import Testing

@testable import PinLock

/// Beside what is asked of every strategy: that the barrier is what makes it safe.
@Suite(
    .serialized,
    .enabled(if: Epoch.unavailability(pinning: PageCount(1)) == nil, "membarrier(2) is not there"))
struct EpochTests {
    private let oracle = Oracle(watching: Set(0..<8))
    private var violations: Int { oracle.violations.load(ordering: .relaxed) }

    // MARK: The order of things

    @Test func aPinAndAConversionNeverMissOneAnother() throws {
        #expect(try StoreBuffering(hasBarrier: true).firstFailure(within: 20_000) == nil)
    }

    /// The control. Chance, and the processors at hand, decide when: mostly within some hundred thousand rounds.
    @Test func withoutTheBarrierTheyDo() throws {
        let failure = try StoreBuffering(hasBarrier: false).firstFailure(
            within: .max, until: .after(milliseconds: 20_000))
        if failure == nil {
            try Test.cancel("not seen within 20 s: the two threads were hardly ever at once")
        }
    }

    /// The kernel is asked for it with each closing, and nothing is converted without it.
    @Test func aClosingTakesTheBarrier() throws {
        let strategy = try make(Epoch.self, pages: 8, sharing: range(0..<8))
        let thread = try WorkerThread(name: "converter") {
            #expect(crefuse_from_now_on(CREFUSE_MEMBARRIER, EPERM) == 0)
            #expect(strategy.refusalOfConversion(page(1), to: .private) == .busy(GFN(1)))
        }
        thread.join()
        #expect(refusalOfPin(page(1), by: strategy.pinner(for: DeviceID(0))) == nil)
    }

    /// A pin that a freeze stops has not looked yet: it does when it goes on.
    @Test func aPinLooksAfterItHasWrittenItsRangeDown() throws {
        try convertInTheMiddleOfAPin(make(Epoch.self, pages: 8, sharing: range(0..<8)), oracle)
        #expect(violations == 0)
    }

    @Test func lookingFirstIsCaught() throws {
        try convertInTheMiddleOfAPin(make(LooksFirst.self, pages: 8, sharing: range(0..<8)), oracle)
        #expect(violations > 0)
    }

    // MARK: What a conversion sees

    /// Pins of one device lie in one another, and next to each other as the ranges of a request do.
    @Test func everyPinOfADeviceCounts() throws {
        let strategy = try make(Epoch.self, pages: 16, sharing: range(0..<16))
        let device = strategy.pinner(for: DeviceID(63))
        var pins = try [range(8..<12), range(2..<4), range(2..<10)].map { try device.pin($0) }
        #expect(strategy.refusalOfConversion(range(0..<16), to: .private) == .pinned(GFN(2)))
        device.unpin(pins.remove(at: 1))
        #expect(strategy.refusalOfConversion(range(0..<4), to: .private) == .pinned(GFN(2)))
        device.unpin(pins.remove(at: 1))
        try strategy.convert(range(0..<8), to: .private)
        #expect(strategy.refusalOfConversion(range(8..<16), to: .private) == .pinned(GFN(8)))
        device.unpin(pins[0])
        try strategy.convert(range(8..<16), to: .private)
    }

    /// A device that has joined after a view was made is seen through it.
    @Test func whoJoinsLaterIsSeen() throws {
        let strategy = try make(Epoch.self, pages: 8, sharing: range(0..<8))
        let view = Epoch(arena: try strategy.arena.viewedAgain())
        #expect(view.firstPinned(in: range(0..<8)) == nil)
        let pin = try strategy.pinner(for: DeviceID(5)).pin(page(6))
        #expect(view.firstPinned(in: range(0..<8)) == pin.range.start)
    }

    /// Wherever the device was in a pin or an unpin.
    @Test(arguments: [Journal.State.intent, .held, .releasing])
    func aDeadDevicesEntriesAreCleared(state: Journal.State) throws {
        let strategy = try make(Epoch.self, pages: 8, sharing: range(0..<8))
        let pin = try strategy.pinner(for: DeviceID(0)).pin(range(2..<5))
        let word = strategy.arena.journal(of: DeviceID(0)).entry(pin.entry).state
        word.pointee.store(pin.ticket | state.rawValue, ordering: .releasing)
        let result = try duringConversion(
            on: strategy, of: page(3), policy: .wait(until: .never)
        ) {
            waitUntil { strategy.hasWaiter }
            #expect(strategy.recover(DeviceID(0), until: .now) == 1)
        }
        #expect(result == .success(.waited))
        _ = strategy.pinner(for: DeviceID(0))
    }

    @Test func theAuditFindsAPinOfAPrivatePage() throws {
        let strategy = try make(Epoch.self, pages: 8, sharing: range(0..<8))
        _ = try strategy.pinner(for: DeviceID(0)).pin(range(2..<5))
        #expect(try strategy.audit() == nil)
        try strategy.close(page(4))
        #expect(try strategy.audit() == "device 0 holds \(range(2..<5)), and \(GFN(4)) is closed")
    }
}
