import GuestMemory

/// Walks a scatter-gather list in chunks of a bounded number of pages, without allocating.
struct ChunkCursor {
    /// The ranges of the current chunk.
    private(set) var chunk: [PageRange] = []
    private var index = 0
    private var offset: UInt64 = 0
    private var count = 0

    mutating func reserve(_ ranges: Int) { chunk.reserveCapacity(ranges) }

    mutating func start(_ rangeCount: Int) {
        index = 0
        offset = 0
        count = rangeCount
    }

    /// Whether the current chunk is the last one.
    var isAtEnd: Bool { index == count }

    /// Moves to the next chunk; false when the list is done.
    mutating func next(of ranges: [PageRange], chunkPages: UInt64) -> Bool {
        guard index < count else { return false }
        chunk.removeAll(keepingCapacity: true)
        var room = chunkPages
        while index < count, room > 0 {
            let range = ranges[index]
            let pages = min(range.count.rawValue - offset, room)
            chunk.append(PageRange(start: range.lower + offset, count: pages))
            room -= pages
            offset += pages
            if offset == range.count.rawValue {
                index += 1
                offset = 0
            }
        }
        return true
    }
}
