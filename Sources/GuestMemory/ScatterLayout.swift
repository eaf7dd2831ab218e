/// A DMA buffer as a scatter-gather list: equal runs of pages, each followed by a page that is not its own.
///
/// With one range the buffer is contiguous. With more, the page between two ranges belongs to nobody, so ranges never
/// merge, and a device that writes too much hits a page that is private. Plain data: it crosses to the device process.
public struct ScatterLayout: BitwiseCopyable, Sendable, Equatable {
    public let start: UInt64
    public let pagesPerRange: UInt64
    public let rangeCount: UInt64

    public init(start: GFN, pagesPerRange: PageCount, rangeCount: Int) {
        precondition(rangeCount > 0 && pagesPerRange.rawValue > 0, "a buffer has pages")
        self.start = start.rawValue
        self.pagesPerRange = pagesPerRange.rawValue
        self.rangeCount = UInt64(rangeCount)
    }

    private var stride: UInt64 { rangeCount == 1 ? pagesPerRange : pagesPerRange + 1 }

    /// From the first page to the last, gaps included.
    public var span: PageRange {
        PageRange(start: start, count: stride * (rangeCount - 1) + pagesPerRange)
    }

    /// The pages that are written.
    public var pages: PageCount { PageCount(pagesPerRange * rangeCount) }

    public var ranges: [PageRange] {
        (0..<rangeCount).map { PageRange(start: start + $0 * stride, count: pagesPerRange) }
    }

    /// The `index`th page that is written, counted over all ranges.
    public func page(_ index: UInt64) -> GFN {
        let (range, offset) = index.quotientAndRemainder(dividingBy: pagesPerRange)
        return GFN(start + range * stride + offset)
    }
}
