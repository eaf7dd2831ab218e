import GuestMemory
import Virtqueue

extension MemoryMap {
    /// A guest with one device, whose requests are a trace's: they lie in one buffer from address 0 on, all of which is
    /// shared. The queue has room for so many requests at once; `total` is the guest's memory, nil for what the trace needs
    /// and `freeBytes`.
    public init(
        _ trace: TraceLayout, requests: Int, total: PageCount?
    ) throws(MemoryMapError) {
        let descriptors = trace.longestChain
        let size = max(256, requests, descriptors + 2)
        guard size <= VirtqueueLayout.queueSizeLimit,
            let layout = try? VirtqueueLayout(
                queueSize: 1 << (Int.bitWidth - (size - 1).leadingZeroBitCount),
                requests: requests, dataDescriptors: descriptors)
        else { throw .tooManyRanges(limit: VirtqueueLayout.queueSizeLimit - 2) }
        let start = trace.pages.rawValue
        let used = start + layout.pages.rawValue
        let needed = used + Self.freeBytes.rawValue / pageSize
        let pages = total?.rawValue ?? needed
        guard pages >= needed else { throw .tooSmall(needed: PageCount(needed)) }
        guard pages <= PageRange.frameLimit else { throw .tooLarge }
        queueLayout = layout
        buffers = [
            ScatterLayout(
                ScatterShape(start: GFN(0), pagesPerRange: trace.pages, rangeCount: 1))
        ]
        targets = []
        queueStarts = [GFN(start)]
        self.pages = PageCount(pages)
        free = PageRange(start: used, count: pages - used)
    }
}
