import Testing

@testable import GuestMemory

/// Requests that go through a pool.
@Suite struct PieceTests {
    /// A buffer of so many ranges, and a contiguous pool elsewhere.
    private func layouts(
        _ pagesPerRange: UInt64, _ ranges: Int, pool: UInt64
    ) -> (target: ScatterLayout, pool: ScatterLayout) {
        (
            ScatterLayout(
                ScatterShape(
                    start: GFN(1000), pagesPerRange: PageCount(pagesPerRange), rangeCount: ranges)),
            ScatterLayout(
                ScatterShape(start: GFN(8), pagesPerRange: PageCount(pool), rangeCount: 1))
        )
    }

    private func pages(_ ranges: [PageRange]) -> [UInt64] { ranges.flatMap { $0.lower..<$0.upper } }

    @Test func coverTheRequestOnceAndInOrder() {
        for pagesPerRange in 1...6 as ClosedRange<UInt64> {
            for ranges in 1...5 {
                for size in 1...(pagesPerRange * UInt64(ranges)) {
                    let (target, pool) = layouts(pagesPerRange, ranges, pool: size)
                    let what = "\(ranges) x \(pagesPerRange) pages through \(size)"
                    let pieces = (0..<target.pieceCount(through: pool)).map {
                        target.piece($0, through: pool)
                    }
                    #expect(
                        pages(pieces.flatMap(\.targets)) == pages(target.ranges), "\(what)")
                    for (number, piece) in pieces.enumerated() {
                        #expect(
                            piece.ranges.map(\.count) == piece.targets.map(\.count), "\(what)")
                        // From the pool's first page on, without a gap; all but the last fill it.
                        let taken = pages(piece.ranges)
                        #expect(taken == Array(8..<8 + UInt64(taken.count)), "\(what)")
                        #expect(taken.count <= size, "\(what)")
                        let isLast = number == pieces.count - 1
                        #expect(isLast || taken.count == size, "\(what)")
                        #expect(piece.ranges.count <= ranges, "\(what)")
                        #expect(piece.destinations == piece.targets, "\(what)")
                    }
                }
            }
        }
    }

    @Test func withoutAPoolTheDataIsWhereItBelongs() {
        let ranges = [PageRange(start: 3, count: 2)]
        #expect(Piece(ranges: ranges).destinations == ranges)
    }
}
