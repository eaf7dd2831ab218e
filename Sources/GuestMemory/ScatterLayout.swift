import DmaStatistics

/// What a scatter-gather list is like: all that is needed to make the same list again, in another process too.
///
/// Equal runs of pages, each followed by a page that is not its own: they never merge, and a device that writes too much
/// hits a page that is private. One behind the other, or drawn.
public struct ScatterShape: BitwiseCopyable, Hashable, Sendable {
    public let start: GFN
    public let pagesPerRange: UInt64
    public let rangeCount: UInt64
    /// Pages from `start` on among which the ranges are drawn; zero where they follow one another.
    let area: UInt64
    let seed: UInt64

    /// Packed, unless `area` is given: then drawn by `seed` from so many pages, which are enough for them.
    public init(
        start: GFN, pagesPerRange: PageCount, rangeCount: Int, area: PageCount? = nil,
        seed: UInt64 = 0
    ) {
        precondition(rangeCount > 0 && pagesPerRange.rawValue > 0, "a buffer has pages")
        self.start = start
        self.pagesPerRange = pagesPerRange.rawValue
        self.rangeCount = UInt64(rangeCount)
        self.area = area?.rawValue ?? 0
        self.seed = seed
        precondition(self.area == 0 || self.area >= packedPages, "no room to draw from")
    }

    private var stride: UInt64 { rangeCount == 1 ? pagesPerRange : pagesPerRange + 1 }
    private var packedPages: UInt64 { stride * (rangeCount - 1) + pagesPerRange }

    /// From the first page that may be written to the last, gaps included.
    public var span: PageRange {
        PageRange(start: start.rawValue, count: max(area, packedPages))
    }

    /// The pages that are written.
    public var pages: PageCount { PageCount(pagesPerRange * rangeCount) }

    /// The ranges in the order of the data.
    public var ranges: [PageRange] {
        let starts = area == 0 ? (0..<rangeCount).map { $0 * stride } : drawn()
        return starts.map { PageRange(start: start.rawValue + $0, count: pagesPerRange) }
    }

    /// Where the ranges start, each arrangement and each order as likely as any other.
    ///
    /// With each range and its gap shrunk to a single place, an arrangement is a choice of some of the places: Floyd's
    /// sampling (Bentley and Floyd, "A sample of brilliance", CACM 30(9), 1987). Their order is Fisher and Yates's.
    private func drawn() -> [UInt64] {
        var random = SplitMix64(seed: seed)
        let places = area - packedPages + rangeCount
        var chosen: Set<UInt64> = []
        for last in (places - rangeCount)..<places {
            let place = random.below(last + 1)
            chosen.insert(chosen.contains(place) ? last : place)
        }
        return chosen.sorted().enumerated()
            .map { $1 + UInt64($0) * (stride - 1) }
            .shuffled(using: &random)
    }
}

/// A DMA buffer as a scatter-gather list.
public struct ScatterLayout: Sendable, Equatable {
    public let shape: ScatterShape
    /// In the order of the data.
    public let ranges: [PageRange]

    public init(_ shape: ScatterShape) {
        self.shape = shape
        ranges = shape.ranges
    }

    public var pagesPerRange: UInt64 { shape.pagesPerRange }
    public var rangeCount: UInt64 { shape.rangeCount }
    public var span: PageRange { shape.span }
    public var pages: PageCount { shape.pages }

    /// The `index`th page that is written, counted over all ranges.
    public func page(_ index: UInt64) -> GFN {
        let (range, offset) = index.quotientAndRemainder(dividingBy: pagesPerRange)
        return GFN(ranges[Int(range)].lower + offset)
    }
}
