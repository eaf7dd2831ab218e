import GuestMemory
import Testing

@testable import PinLock

/// What the strategy without a lock promises all the same: tokens, and conversions as if nobody pinned.
@Suite struct NoneTests {
    @Test func itsTokensSayWhoPinnedWhat() throws {
        let strategy = try make(None.self, pages: 8)
        let device = strategy.pinner(for: DeviceID(3))
        let pin = device.pin(range(2..<5))
        #expect(pin.range == range(2..<5) && pin.device == DeviceID(3))
        device.unpin(pin)
        #expect(strategy.recover(DeviceID(3), until: .now) == 0)
        #expect(strategy.audit() == nil)
    }

    @Test(arguments: [EntrySize.small, .large])
    func itsConversionsAgreeWithTheReference(entrySize: EntrySize) throws {
        let pages: UInt64 = 6
        let strategy = try make(None.self, pages: pages, entrySize: entrySize)
        var reference = Reference(edges: Array(0...pages))
        let device = strategy.pinner(for: DeviceID(0))
        let pin = device.pin(range(0..<pages))
        var random = SeededRandom(seed: 6)
        for _ in 0..<2000 {
            let range = everyRange(pages: pages + 1).randomElement(using: &random)!
            let state: PageState = Bool.random(using: &random) ? .shared : .private
            let expected = reference.conversionRefusal(range, to: state)
            try #require(
                strategy.refusalOfConversion(range, to: state) == expected, "\(range) to \(state)")
            if expected == nil { reference.convert(range, to: state) }
        }
        device.unpin(pin)
    }
}
