import GuestMemory
import Testing
import Trace
import Virtqueue

@testable import Guest

@Suite struct TraceLayoutTests {
    private static func trace(_ requests: [[(page: UInt64, pages: UInt64)]]) -> Trace {
        var trace = Trace()
        for (index, ranges) in requests.enumerated() {
            trace.append(
                due: UInt64(index), .write,
                ranges.map { TraceSegment(address: $0.page * 4096, byteCount: $0.pages * 4096) })
        }
        return trace
    }

    private func pages(_ layout: TraceLayout, _ index: Int) -> [UInt64] {
        layout.runs(of: index).map { $0.address / 4096 }
    }

    /// Order, neighbours and what is shared stay; what lies between is one page.
    @Test func pagesMoveTogether() {
        let layout = TraceLayout(
            Self.trace([[(1000, 2), (50, 1)], [(1002, 1), (1001, 1)], [(51, 3)], [(900_000, 1)]]))
        // 50, 51-53, a page, 1000-1002, a page, 900000.
        #expect(layout.pages == PageCount(10))
        #expect(pages(layout, 0) == [5, 0])
        #expect(pages(layout, 1) == [7, 6])
        #expect(pages(layout, 2) == [1])
        #expect(pages(layout, 3) == [9])
    }

    @Test func bytesStayWhereTheyAreInTheirPages() {
        var trace = Trace()
        trace.append(
            due: 0, .read,
            [
                TraceSegment(address: 77 * 4096 + 512, byteCount: 100),
                TraceSegment(address: 78 * 4096 - 1, byteCount: 4098),
            ])
        let layout = TraceLayout(trace)
        #expect(layout.pages == PageCount(3))
        #expect(
            Array(layout.runs(of: 0)) == [
                ByteRun(address: 512, byteCount: 100), ByteRun(address: 4095, byteCount: 4098),
            ])
        #expect(layout[0].byteCount == 4198 && layout[0].direction == .read && layout[0].due == 0)
        #expect(layout.direction != .write && layout.longestChain == 2)
    }

    /// Against the definition, on every choice of some of eight pages, one range a page.
    @Test func everyChoiceOfPages() {
        for mask in 1..<256 as Range<UInt64> {
            let chosen = (0..<8 as Range<UInt64>).filter { mask & 1 << $0 != 0 }
            let layout = TraceLayout(Self.trace([chosen.reversed().map { ($0 * 1, 1) }]))
            let places = Array(pages(layout, 0).reversed())
            #expect(places.first == 0 && places.last! + 1 == layout.pages.rawValue)
            for index in chosen.indices.dropFirst() {
                let isNeighbour = chosen[index] == chosen[index - 1] + 1
                #expect(places[index] - places[index - 1] == (isNeighbour ? 1 : 2))
            }
        }
    }

    /// What a device pins at once: it merges ranges that touch, or share the last page of the one before, and no others.
    @Test(
        arguments: [
            ([(1, 1)], 1), ([(1, 2), (3, 4)], 6), ([(1, 2), (2, 4)], 5), ([(5, 1), (1, 4)], 5),
            ([(1, 4), (1, 4)], 8), ([(1, 1), (1, 1)], 1), ([(9, 1), (7, 1), (5, 1)], 3),
        ] as [([(page: UInt64, pages: UInt64)], UInt64)])
    func knowsItsLargestRequest(_ ranges: [(page: UInt64, pages: UInt64)], _ pages: UInt64) {
        #expect(TraceLayout(Self.trace([ranges])).largestRequest == PageCount(pages))
        let others = TraceLayout(Self.trace([[(100, 1)], ranges, [(1, 1)]]))
        #expect(others.largestRequest == PageCount(pages))
    }

    @Test func theGuestHasRoomForIt() throws {
        let layout = TraceLayout(Self.trace([[(1, 1), (5, 1), (9, 1)], [(1 << 20, 300)]]))
        let map = try MemoryMap(layout, requests: 128, total: nil)
        #expect(map.buffers.count == 1 && map.buffers[0].span.count == layout.pages)
        #expect(map.queueLayout.dataDescriptors == 3 && map.queueLayout.requests == 128)
        #expect(map.queueAreas[0].lower == layout.pages.rawValue)
        #expect(map.free.lower == map.queueAreas[0].upper)
        #expect(map.pages.rawValue == map.free.upper && map.piecesPerRequest == 1)
        #expect(throws: MemoryMapError.self) {
            _ = try MemoryMap(layout, requests: 128, total: PageCount(310))
        }
    }
}
