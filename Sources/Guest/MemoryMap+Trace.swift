import GuestMemory
import Virtqueue

extension MemoryMap {
    /// A guest with one device, whose requests are a trace's: they lie in one buffer from address 0 on, all of which is
    /// shared. The queue has room for so many requests at once; `total` is the guest's memory, nil for what the trace needs
    /// and `freeBytes`.
    public init(
        _ trace: TraceLayout, requests: Int, total: PageCount?
    ) throws(MemoryMapError) {
        let layout = try Self.layout(requests: requests, dataDescriptors: trace.longestChain)
        let start = trace.pages.rawValue
        free = try Self.rest(behind: start + layout.pages.rawValue, of: total)
        queueLayout = layout
        buffers = [
            ScatterLayout(
                ScatterShape(start: GFN(0), pagesPerRange: trace.pages, rangeCount: 1))
        ]
        targets = []
        queueStarts = [GFN(start)]
        pages = PageCount(free.upper)
    }
}
