/// What a driver asks of a device at once: a request, or a part of one that is larger than the pool it goes through.
public struct Piece: Sendable, Equatable {
    /// What the device writes, in the order of the data.
    public let ranges: [PageRange]
    /// Where the guest copies each of them to; empty where they are where the data belongs.
    public let targets: [PageRange]

    public init(ranges: [PageRange], targets: [PageRange] = []) {
        self.ranges = ranges
        self.targets = targets
    }

    /// Where the data is to be found in the end.
    public var destinations: [PageRange] { targets.isEmpty ? ranges : targets }
}

extension ScatterLayout {
    /// In how many pieces a request for this buffer goes through `pool`.
    public func pieceCount(through pool: ScatterLayout) -> UInt64 {
        (pages.rawValue + pool.pages.rawValue - 1) / pool.pages.rawValue
    }

    /// The `index`th of them: each but the last fills the pool, which is contiguous, and each range of this buffer has
    /// a range of its own there, right behind the one before.
    public func piece(_ index: UInt64, through pool: ScatterLayout) -> Piece {
        var page = index * pool.pages.rawValue
        let end = min(page + pool.pages.rawValue, pages.rawValue)
        var slot = pool.span.lower
        var ranges: [PageRange] = []
        var targets: [PageRange] = []
        while page < end {
            let count = min(pagesPerRange - page % pagesPerRange, end - page)
            ranges.append(PageRange(start: slot, count: count))
            targets.append(PageRange(start: self.page(page).rawValue, count: count))
            slot += count
            page += count
        }
        return Piece(ranges: ranges, targets: targets)
    }
}
