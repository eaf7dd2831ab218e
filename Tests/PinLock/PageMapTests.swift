import GuestMemory
import Testing

@testable import PinLock

/// The table of two levels beside the plainest one.
@Suite struct PageMapTests {
    private static let pages: UInt64 = 2000

    /// Ranges of all sizes, with both ends at borders of regions, beside them and anywhere.
    @Test func itSaysWhatAPlainTableSays() {
        let map = PageMap(pages: PageCount(Self.pages))
        defer { map.free() }
        var plain = [UInt32](repeating: 0, count: Int(Self.pages))
        var generator = SystemRandomNumberGenerator()
        let borders: [UInt64] = [0, 1, 511, 512, 513, 1023, 1024, 1536, 1999]
        for number in 1...400 as ClosedRange<UInt32> {
            var ends = [borders.randomElement()!, .random(in: 0..<Self.pages, using: &generator)]
            if number.isMultiple(of: 3) { ends[1] = borders.randomElement()! }
            let range = range(ends.min()!..<ends.max()! + 1)
            let value = number.isMultiple(of: 4) ? 0 : number
            map.set(range, to: value)
            for page in range.lower..<range.upper { plain[Int(page)] = value }
            guard (0..<Self.pages).allSatisfy({ map[$0] == plain[Int($0)] }) else {
                Issue.record("after \(range) became \(value)")
                return
            }
            #expect(map.first(of: range) == value)
            let taken = plain[Int(ends.min()!)...].firstIndex { $0 != 0 }.map(UInt64.init)
            let rest = PageRange(start: ends.min()!, count: Self.pages - ends.min()!)
            #expect(map.firstTaken(in: rest) == taken)
        }
    }

    @Test func nothingIsBehindTheGuest() {
        let map = PageMap(pages: PageCount(Self.pages))
        defer { map.free() }
        map.set(range(1990..<2000), to: 1)
        #expect(map.first(of: range(1999..<2000)) == 1)
        #expect(map.first(of: range(1999..<2001)) == 0)
        #expect(map.first(of: range(2000..<2001)) == 0)
        #expect(map.first(of: PageRange(start: PageRange.frameLimit - 1, count: 1)) == 0)
    }
}
