import DmaLinux
import GuestMemory
import Testing

@testable import PinLock

@Suite struct LongLivedTests {
    private let strategy: LongLived
    private let device: LongLived.Device
    private var journal: Journal { strategy.arena.journal(of: DeviceID(0)) }

    init() throws {
        strategy = try make(LongLived.self, pages: 16, sharing: range(0..<16))
        device = strategy.pinner(for: DeviceID(0))
    }

    @Test func aPinInsideARegistrationTouchesNothingShared() throws {
        try device.register([range(8..<16), range(0..<4)])
        let pins = try [device.pin(range(9..<11)), device.pin(range(0..<4))]
        #expect(Set(journal.heldPins) == [range(8..<16), range(0..<4)])
        let outside = try device.pin(range(3..<5))
        #expect(journal.heldPins.contains(range(3..<5)))
        for pin in pins + [outside] { device.unpin(pin) }
        device.unregister()
        #expect(strategy.arena.livePins == 0)
        #expect(try strategy.audit() == nil)
    }

    /// A queue's rings, which are pinned for long, keep no registration from being let go.
    @Test func aPinToKeepIsNoToken() throws {
        try device.register([range(0..<8)])
        let list: InlineArray<1, PageRange> = [page(7)]
        let rings = try device.pinToKeep(list.span)
        let token = try device.pin(page(7))
        #expect(!Registrations.isToken(rings) && Registrations.isToken(token))
        device.unpin(token)
        #expect(Set(journal.heldPins) == [range(0..<8), page(7)])
        device.unregister()
        #expect(journal.heldPins == [page(7)])
        #expect(strategy.refusalOfConversion(page(7), to: .private) == .pinned(GFN(7)))
        device.unpin(rings)
        #expect(strategy.arena.livePins == 0)
    }

    /// A token stands for a list that is registered from its first range to its last; any other is pinned anew.
    @Test func aListOutsideInPartIsPinnedAsAWhole() throws {
        try device.register([range(8..<12), range(0..<4)])
        let inside = try device.pin([page(9), range(0..<2), page(11)].span)
        #expect(journal.liveEntries().count == 2)
        for list in [[page(9), page(6)], [page(6), page(9)], [page(0), page(6), page(9)]] {
            let pin = try device.pin(list.span)
            #expect(journal.liveEntries().last?.ranges == list)
            #expect(strategy.refusalOfConversion(page(6), to: .private) == .pinned(GFN(6)))
            device.unpin(pin)
        }
        device.unpin(inside)
        device.unregister()
        #expect(strategy.arena.livePins == 0)
        #expect(try strategy.audit() == nil)
    }

    @Test func whatIsRegisteredCannotBeConverted() throws {
        try device.register([range(4..<8)])
        #expect(strategy.refusalOfConversion(range(2..<6), to: .private) == .pinned(GFN(4)))
        #expect(
            strategy.refusalOfConversion(range(2..<6), to: .private, policy: .wait(until: .now))
                == .deadlinePassed(GFN(4)))
        device.unregister()
        try strategy.convert(range(2..<6), to: .private)
    }

    @Test func aRefusedRegistrationGivesAllOfThemBack() throws {
        try strategy.convert(page(9), to: .private)
        #expect(throws: PinRefusal.privatePage(GFN(9))) {
            try device.register([range(0..<4), range(8..<12)])
        }
        #expect(strategy.arena.livePins == 0)
    }

    /// The device has looked at the first registration and lets go of the second when the first is asked for: it finds
    /// that the next time.
    @Test func whatIsAskedForMeanwhileIsLetGoNext() throws {
        func revoke(_ page: PageRange) throws -> PendingConversion {
            let step = try strategy.begin(
                page, to: .private, policy: .revoke(until: .never), hooks: ConversionHooks())
            guard case .pending(let pending) = step else {
                throw Disagreement(description: "the conversion of \(page) is not pending: \(step)")
            }
            return pending
        }
        try device.register([range(0..<4), range(8..<12)])
        var second = try revoke(page(9))
        // It stops in the middle: an unpin waits for the thaw.
        try strategy.arena.coordination.beginFreeze()
        nonisolated(unsafe) let device = device
        let thread = try WorkerThread(name: "device") { device.serviceRevocations() }
        waitUntil { journal.isWaiting }
        var first = try revoke(page(1))
        strategy.arena.coordination.thaw()
        thread.join()
        #expect(try strategy.poll(&second, hooks: ConversionHooks()) == .revoked)
        #expect(try strategy.poll(&first, hooks: ConversionHooks()) == nil)
        device.serviceRevocations()
        #expect(try strategy.poll(&first, hooks: ConversionHooks()) == .revoked)
    }

    @Test func aRevokedRegistrationComesBackLater() throws {
        try device.register([range(0..<4), range(8..<12)])
        let wakes = Counter()
        let result = try duringConversion(
            on: strategy, of: page(2), policy: .revoke(until: .never), wakes: wakes
        ) {
            waitUntil { wakes.value > 0 }
            device.serviceRevocations()
        }
        #expect(result == .success(.revoked))
        #expect(journal.heldPins == [range(8..<12)])

        // The pages that are still shared can be pinned one DMA at a time.
        let pin = try device.pin(range(0..<2))
        #expect(Set(journal.heldPins) == [range(8..<12), range(0..<2)])
        device.unpin(pin)
        #expect(refusalOfPin(range(0..<4), by: device) == .privatePage(GFN(2)))

        try strategy.convert(page(2), to: .shared)
        #expect(refusalOfPin(range(0..<2), by: device) == nil)
        #expect(Set(journal.heldPins) == [range(8..<12), range(0..<4)])
        #expect(try strategy.audit() == nil)
    }

    /// A request pins several ranges: taking the second must not let the first one go.
    @Test func nothingIsLetGoUnderARequest() throws {
        try device.register([range(0..<4), range(8..<12)])
        let first = try device.pin(range(0..<2))
        let wakes = Counter()
        let result = try duringConversion(
            on: strategy, of: page(0), policy: .revoke(until: .never), wakes: wakes
        ) {
            waitUntil { wakes.value > 0 }
            let second = try device.pin(range(8..<10))
            device.serviceRevocations()
            device.unpin(second)
            #expect(strategy.firstPinned(in: page(0)) == GFN(0))
            device.unpin(first)
        }
        #expect(result == .success(.revoked))
        #expect(journal.heldPins == [range(8..<12)])
    }

    @Test func aRevocationGivesUpAtItsDeadline() throws {
        try device.register([range(0..<4)])
        #expect(
            strategy.refusalOfConversion(page(0), to: .private, policy: .revoke(until: .now))
                == .deadlinePassed(GFN(0)))
        device.serviceRevocations()
        #expect(journal.heldPins == [range(0..<4)])
        #expect(refusalOfPin(page(0), by: device) == nil)
    }
}
