import Testing

@testable import GuestMemory

@Suite struct ScatterTests {
    private func drawn(
        _ ranges: Int, _ pagesPerRange: UInt64, from area: UInt64, seed: UInt64
    ) -> ScatterShape {
        ScatterShape(
            start: GFN(512), pagesPerRange: PageCount(pagesPerRange), rangeCount: ranges,
            area: PageCount(area), seed: seed)
    }

    @Test func packedRangesAreAPageApart() {
        let shape = ScatterShape(start: GFN(7), pagesPerRange: PageCount(2), rangeCount: 3)
        #expect(shape.ranges.map(\.lower) == [7, 10, 13])
        #expect(shape.span == PageRange(start: 7, count: 8) && shape.pages == PageCount(6))
    }

    @Test(arguments: [(1, 126, 262_144), (1, 126, 251), (3, 8, 40), (5, 2, 11), (1, 1, 9)])
    func drawnRangesKeepApartInTheirArea(pagesPerRange: UInt64, ranges: Int, area: UInt64) {
        for seed in 0..<50 as Range<UInt64> {
            let shape = drawn(ranges, pagesPerRange, from: area, seed: seed)
            let sorted = shape.ranges.sorted { $0.lower < $1.lower }
            #expect(
                sorted.count == ranges && sorted.allSatisfy { $0.count.rawValue == pagesPerRange })
            #expect(shape.span == PageRange(start: 512, count: area))
            #expect(sorted.allSatisfy(shape.span.contains))
            for (one, next) in zip(sorted, sorted.dropFirst()) {
                #expect(one.upper < next.lower, "seed \(seed): \(one), \(next)")
            }
        }
    }

    /// The device makes the list that the guest has made.
    @Test func aShapeIsOneList() {
        let shape = drawn(126, 1, from: 262_144, seed: 3)
        #expect(shape.ranges == shape.ranges)
        #expect(shape.ranges != drawn(126, 1, from: 262_144, seed: 4).ranges)
        let layout = ScatterLayout(shape)
        #expect((0..<126).map { layout.page($0).rawValue } == shape.ranges.map(\.lower))
    }

    /// Two ranges of two pages in eight have ten arrangements in two orders: each comes up in a twentieth of the draws.
    @Test func everyArrangementIsAsLikely() {
        var counts: [[UInt64]: Int] = [:]
        let draws = 20_000
        for seed in 0..<UInt64(draws) {
            counts[drawn(2, 2, from: 8, seed: seed).ranges.map(\.lower), default: 0] += 1
        }
        #expect(counts.count == 20)
        // Six standard deviations of a twentieth of 20,000 draws.
        #expect(counts.values.allSatisfy { abs($0 - draws / 20) < 185 }, "\(counts)")
    }
}
