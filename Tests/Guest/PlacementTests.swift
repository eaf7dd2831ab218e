import Guest
import GuestMemory
import Settings
import Testing

/// Where the buffers of several devices lie, and what of it devices have in common.
@Suite struct PlacementTests {
    private func map(
        _ placement: BufferPlacement, devices: Int, pages: UInt64, ranges: Int = 1
    ) throws -> MemoryMap {
        try MemoryMap(
            devices: devices, pagesPerRange: PageCount(pages), rangeCount: ranges,
            misalignment: PageCount(0), placement: placement, total: nil)
    }

    private func starts(_ map: MemoryMap) -> [UInt64] { map.buffers.map { $0.page(0).rawValue } }

    /// Not a page and not a line of entries in common, however small the buffers are.
    @Test(arguments: [1, 2, 3, 4, 5, 9, 512] as [UInt64])
    func disjointBuffersHaveNothingInCommon(pages: UInt64) throws {
        let map = try map(.disjoint, devices: 3, pages: pages)
        #expect(map.sharedPages == PageCount(0) && map.sharedLines(entryByteCount: 16) == 0)
        #expect(Set(map.bufferRanges).count == 3)
    }

    @Test func theSameBufferIsOne() throws {
        let map = try map(.same, devices: 3, pages: 4, ranges: 2)
        #expect(starts(map) == [0, 0, 0])
        #expect(map.bufferRanges.count == 2 && map.sharedPages == PageCount(2 * 8))
        #expect(map.sharedLines(entryByteCount: 16) == 0)
        // All else is private, once.
        let covered = (map.bufferRanges + map.queueAreas + map.privateRanges)
            .reduce(0) { $0 + $1.count.rawValue }
        #expect(covered == map.pages.rawValue)
    }

    @Test(arguments: [(1, 1), (2, 1), (3, 2), (4, 0), (6, 1), (512, 0)] as [(UInt64, Int)])
    func adjacentBuffersMeetInALine(pages: UInt64, lines: Int) throws {
        let map = try map(.adjacent, devices: 3, pages: pages)
        #expect(starts(map) == [0, pages, 2 * pages])
        #expect(map.sharedPages == PageCount(0))
        #expect(map.sharedLines(entryByteCount: 16) == lines)
    }

    @Test func oneDeviceSharesNothing() throws {
        for placement in BufferPlacement.allCases {
            let map = try map(placement, devices: 1, pages: 5)
            #expect(map.sharedPages == PageCount(0) && map.sharedLines(entryByteCount: 16) == 0)
            #expect(starts(map) == [0])
        }
    }
}
