import GuestMemory
import Testing

@testable import PinLock

/// What no caller may do, and what the trap says.
enum Misuse: Codable, CaseIterable {
    case unpinTwice
    /// The token's place in the journal is another pin's by then.
    case unpinWhatWasPinnedAgain
    case unpinAnothersPin
    /// The device has died since, was recovered and has joined again. Its first pin is another one.
    case unpinAPinOfAnEarlierLife
    /// The same of pins inside what is kept beyond a DMA, where the strategy keeps anything.
    case unpinAnEarlierLifesPinOfABuffer
    case joinBeforeTheRecovery

    var message: String {
        switch self {
        case .unpinTwice, .unpinWhatWasPinnedAgain, .unpinAPinOfAnEarlierLife,
            .unpinAnEarlierLifesPinOfABuffer:
            "unpin of a pin that device 0 does not hold"
        case .unpinAnothersPin: "unpin of a pin that device 1 does not hold"
        case .joinBeforeTheRecovery: "device 0 has pins that were never recovered"
        }
    }

    static func commit(_ misuse: Misuse, with name: String) throws {
        try misuse.commit(Registry.strategy(named: name)!)
    }

    private func commit<Strategy: PinStrategy>(_: Strategy.Type) throws {
        let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
        var device = strategy.pinner(for: DeviceID(0))
        if self == .unpinAnEarlierLifesPinOfABuffer { try device.register([range(0..<8)]) }
        let pin = try device.pin(page(3))
        switch self {
        case .unpinTwice:
            device.unpin(pin)
            device.unpin(pin)
        case .unpinWhatWasPinnedAgain:
            device.unpin(pin)
            _ = try device.pin(page(3))
            device.unpin(pin)
        case .unpinAnothersPin:
            let other = strategy.pinner(for: DeviceID(1))
            _ = try other.pin(page(3))
            other.unpin(pin)
        case .unpinAPinOfAnEarlierLife, .unpinAnEarlierLifesPinOfABuffer:
            _ = try strategy.recover(DeviceID(0), until: .now)
            device = strategy.pinner(for: DeviceID(0))
            if self == .unpinAnEarlierLifesPinOfABuffer { try device.register([range(0..<8)]) }
            _ = try device.pin(page(4))
            device.unpin(pin)
        case .joinBeforeTheRecovery:
            _ = strategy.pinner(for: DeviceID(0))
        }
    }
}

/// Programmer errors trap: they are not for a program to go on after.
@Suite struct MisuseTests {
    @Test(arguments: Candidate.safe.map(\.testDescription), Misuse.allCases)
    func misuseTraps(_ name: String, _ misuse: Misuse) async throws {
        let result = await #expect(
            processExitsWith: .failure, observing: [\.standardErrorContent]
        ) { [name, misuse] in
            try Misuse.commit(misuse, with: name)
        }
        try expectTrap(result, saying: misuse.message)
    }

    @Test func aPinOfMoreRangesThanAListHas() async throws {
        let result = await #expect(
            processExitsWith: .failure, observing: [\.standardErrorContent]
        ) {
            let strategy = try make(PerPage.self, pages: 8, sharing: range(0..<8))
            let ranges = [PageRange](repeating: page(1), count: Journal.rangeLimit + 1)
            _ = try strategy.pinner(for: DeviceID(0)).pin(ranges.span)
        }
        try expectTrap(result, saying: "a pin of 1025 ranges")
    }

    @Test func aRegistrationsTokenGivenBackTwice() async throws {
        let result = await #expect(
            processExitsWith: .failure, observing: [\.standardErrorContent]
        ) {
            let device = try registeredDevice()
            let pin = try device.pin(page(0))
            device.unpin(pin)
            device.unpin(pin)
        }
        try expectTrap(result, saying: "unpin of a pin that device 0 does not hold")
    }

    @Test func unregisteringUnderAPin() async throws {
        let result = await #expect(
            processExitsWith: .failure, observing: [\.standardErrorContent]
        ) {
            let device = try registeredDevice()
            _ = try device.pin(page(0))
            device.unregister()
        }
        try expectTrap(result, saying: "device 0 unregisters under 1 pins")
    }

    @Test func aDeviceWithoutAJournal() async throws {
        let result = await #expect(
            processExitsWith: .failure, observing: [\.standardErrorContent]
        ) {
            _ = DeviceID(64)
        }
        try expectTrap(result, saying: "device 64: the arena has journals for 64")
    }

    @Test(arguments: [0, PageRange.frameLimit + 1])
    func aGuestOfNoSize(pages: UInt64) async throws {
        let result = await #expect(
            processExitsWith: .failure, observing: [\.standardErrorContent]
        ) { [pages] in
            _ = try Arena.create(pages: PageCount(pages), entrySize: .small)
        }
        try expectTrap(result, saying: "a guest of \(PageCount(pages))")
    }

    private func expectTrap(_ result: ExitTest.Result?, saying message: String) throws {
        let text = String(decoding: try #require(result).standardErrorContent, as: UTF8.self)
        #expect(text.contains(message))
    }
}

private func registeredDevice() throws -> LongLived.Device {
    let strategy = try make(LongLived.self, pages: 16, sharing: range(0..<16))
    let device = strategy.pinner(for: DeviceID(0))
    try device.register([range(0..<4)])
    return device
}
