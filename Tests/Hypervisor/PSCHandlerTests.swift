import DmaLinux
import DmaWriter
import GuestMemory
import PinLock
import Testing

@testable import Hypervisor

/// What a guest gets that asks for page state changes.
@Suite struct PSCHandlerTests {
    private let host: Host

    init() throws {
        host = try Host()
        host.oracle.arm([range(0..<64)])
    }

    @Test func aPageGoesAndComesBack() throws {
        let (handler, strategy) = try host.handler()
        #expect(handler.ask(range(4..<8), toPrivate: false) == .done)
        #expect(strategy.arena.table.state(of: GFN(7)) == .shared)
        #expect(!handler.stopsAccess(to: GFN(7), asPrivate: false))
        #expect(handler.stopsAccess(to: GFN(7), asPrivate: true))
        host.write(Stamp(device: 0, generation: 1), to: page(7))
        let mark = host.ledger.mark()
        #expect(handler.ask(page(7), toPrivate: true) == .done)
        #expect(strategy.arena.table.state(of: GFN(7)) == .private)
        #expect(host.hasCanary(page(7)) && host.isNumbered(page(7), since: mark))
        #expect(!handler.stopsAccess(to: GFN(7), asPrivate: true))
        let log = handler.takeLog()
        #expect(log.done == 2 && log.denied == 0 && log.waited == 0)
        #expect(handler.takeLog().done == 0)
    }

    @Test func whatMakesNoSenseIsRefused() throws {
        let (handler, _) = try host.handler()
        #expect(handler.ask(range(0..<4), toPrivate: true) == .refused(GFN(0)))
        #expect(handler.ask(range(60..<65), toPrivate: false) == .refused(GFN(64)))
        _ = handler.ask(page(2), toPrivate: false)
        #expect(handler.ask(range(0..<4), toPrivate: false) == .refused(GFN(2)))
        let log = handler.takeLog()
        #expect(log.done == 1 && log.denied == 0)
    }

    /// Neither a canary nor a number: the page is the device's.
    @Test func aPinnedPageIsDenied() throws {
        let (handler, strategy) = try host.handler()
        _ = handler.ask(range(0..<8), toPrivate: false)
        let (pinner, mark) = (strategy.pinner(for: DeviceID(0)), host.ledger.mark())
        let pin = try pinner.pin(range(2..<5))
        #expect(handler.ask(range(0..<4), toPrivate: true) == .pinned(GFN(2)))
        #expect(!host.isNumbered(range(0..<8), since: mark))
        pinner.unpin(pin)
        #expect(handler.ask(range(0..<4), toPrivate: true) == .done)
        let log = handler.takeLog()
        #expect(log.denied == 1 && log.longestWait == nil)
    }

    /// With a patience of a millisecond. Were it forgotten, this would never end.
    @Test func aConversionIsNotWaitedForPastTheDeadline() throws {
        let (handler, strategy) = try host.handler(policy: .wait, patience: 1_000_000)
        _ = handler.ask(range(0..<8), toPrivate: false)
        let pinner = strategy.pinner(for: DeviceID(0))
        let pin = try pinner.pin(range(2..<5))
        #expect(handler.ask(range(0..<4), toPrivate: true) == .pinned(GFN(2)))
        pinner.unpin(pin)
        let log = handler.takeLog()
        #expect(log.denied == 1 && log.longestWait != nil)
    }

    @Test func aRevocationWakesTheDevices() throws {
        let wakes = Counter()
        let (handler, strategy) = try host.handler(
            LongLived.self, policy: .revoke, patience: 1_000_000, wakes: wakes)
        _ = handler.ask(range(0..<8), toPrivate: false)
        let pinner = strategy.pinner(for: DeviceID(0))
        try pinner.register([range(0..<8)])
        #expect(handler.ask(page(3), toPrivate: true) == .pinned(GFN(3)))
        #expect(wakes.value == 1)
        pinner.unregister()
        #expect(handler.ask(page(3), toPrivate: true) == .done)
        #expect(wakes.value == 1)
    }

    // MARK: The host's hands on the page

    @Test func aFreedPageIsAHole() throws {
        let host = try Host(frees: true)
        host.oracle.arm([range(0..<64)])
        let (handler, _) = try host.handler()
        _ = handler.ask(range(0..<8), toPrivate: false)
        host.write(Stamp(device: 0, generation: 1), to: page(3))
        #expect(handler.ask(page(3), toPrivate: true) == .done)
        #expect(host.view.bytes(of: page(3)).allSatisfy { $0 == 0 })
        #expect(handler.ask(page(3), toPrivate: false) == .done)
        #expect(host.oracle.violations == 0)
    }

    @Test func thePageTakenBackIsASurpriseOnce() throws {
        let (handler, strategy) = try host.handler()
        _ = handler.ask(range(0..<8), toPrivate: false)
        _ = handler.ask(range(2..<5), toPrivate: true)
        #expect(handler.takeBack(page(4)) && handler.takeBack(page(3)))
        #expect(strategy.arena.table.state(of: GFN(3)) == .shared)
        // Whether it wants them shared or private, the guest has to hear of it first, and of all of them.
        #expect(handler.ask(range(2..<5), toPrivate: false) == .takenBack(GFN(3)))
        #expect(handler.takeBack(page(2)))
        #expect(handler.begin(range(2..<5), toPrivate: true) == .takenBack(GFN(2)))
        #expect(handler.ask(range(3..<5), toPrivate: true) == .done)
        #expect(handler.host.takenBack.found == 3)
        // The guest was faster; and what was never there cannot come back.
        #expect(handler.takeBack(page(0)))
        #expect(!handler.takeBack(page(64)))
        #expect(handler.ask(page(0), toPrivate: true) == .done)
    }
}
