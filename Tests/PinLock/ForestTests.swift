import GuestMemory
import Testing

@testable import PinLock

@Suite struct ForestTests {
    /// A look at the open bits takes another way for a page, for a few and for more: each range of up to nine pages beside
    /// each closed page, within a GiB and across its border.
    @Test(arguments: [UInt64(0), pagesPerGiB - 6])
    func aRangeIsOpenWhereItHasNoClosedPage(start: UInt64) throws {
        let pages = start..<start + 12
        let strategy = try make(Slots.self, pages: pages.upperBound, sharing: range(pages))
        let forest = ForestCover(arena: strategy.arena).forest
        for closed in pages {
            forest.close(page(closed))
            for lower in pages {
                for upper in lower + 1...min(lower + 9, pages.upperBound) {
                    let isOpen = forest.isOpen(range(lower..<upper))
                    let hasClosed = (lower..<upper).contains(closed)
                    #expect(isOpen != hasClosed, "\(lower..<upper) with \(closed) closed")
                }
            }
            forest.open(page(closed))
        }
    }
}
