import DmaLinux
import GuestMemory
import Testing

/// Guest memory of several regions.
@Suite struct RegionTests {
    private func mapping(pages: UInt64) throws -> SharedMapping {
        try SharedMapping.create(name: "region-test", byteCount: Int(pages * pageSize))
    }

    private func range(_ pages: Range<UInt64>) -> PageRange {
        PageRange(start: pages.lowerBound, count: UInt64(pages.count))
    }

    /// Every range of every table of up to three regions in eight pages, whatever the order they came in, against a list
    /// of pages: found where all of it is in one region, and there.
    @Test func everyLookUpOfSmallTables() throws {
        let file = try mapping(pages: 16)
        let layouts: [[Range<UInt64>]] = [
            [], [0..<8], [0..<3, 3..<8], [1..<2, 5..<8], [0..<1, 2..<4, 4..<6],
            [3..<5, 6..<7, 7..<8],
        ]
        for layout in layouts {
            for order in [layout, layout.reversed()] {
                let view = try GuestView(
                    order.map {
                        // Each in a place of its own of the file, not in the order of addresses.
                        try GuestRegion(
                            range($0), in: file, offset: Int((15 - $0.upperBound) * pageSize))
                    })
                #expect(view.pages.rawValue == layout.last?.upperBound ?? 0)
                for start in stride(from: UInt64(0), through: 9 * pageSize, by: 2048) {
                    for length in stride(from: UInt64(1), through: 8 * pageSize, by: 2047) {
                        let region = layout.firstIndex {
                            $0.lowerBound * pageSize <= start
                                && start + length <= $0.upperBound * pageSize
                        }
                        let found = view.location(of: start, byteCount: length)
                        let place = region.map { index in
                            let pages = layout[index]
                            let offset = start - pages.lowerBound * pageSize
                            return Int((15 - pages.upperBound) * pageSize + offset)
                        }
                        let isRight =
                            found?.region == region
                            && found.map { $0.pointer - file.base } == place
                        if !isRight { Issue.record("\(length) bytes at \(start) of \(layout)") }
                    }
                }
            }
        }
    }

    @Test(
        arguments: [
            (UInt64.max, 1), (UInt64.max, UInt64.max), (0, UInt64.max), (1, UInt64.max),
            (8 * 4096, 1),
            (8 * 4096 - 1, 2), (1 << 63, 1 << 63),
        ] as [(UInt64, UInt64)])
    func sumsThatOverflowAreOutside(address: UInt64, byteCount: UInt64) throws {
        let view = GuestView(try mapping(pages: 8))
        #expect(view.location(of: address, byteCount: byteCount) == nil)
    }

    /// What is there already stays, and whoever has the table of before still has that.
    @Test func growsAndShrinks() throws {
        let (low, high) = (try mapping(pages: 4), try mapping(pages: 2))
        let before = GuestView(low)
        var view = before
        try view.add(try GuestRegion(range(6..<8), in: high))
        #expect(view.pointer(to: 7 * pageSize, byteCount: 8) == high.base + 4096)
        #expect(view.pointer(to: 3 * pageSize, byteCount: 8) == low.base + 3 * 4096)
        #expect(before.pointer(to: 7 * pageSize, byteCount: 8) == nil)
        #expect(view.pages == PageCount(8) && before.pages == PageCount(4))
        // A region is removed as a whole, or not.
        let removesAPart = view.remove(range(6..<7))
        let removes = view.remove(range(0..<4))
        #expect(!removesAPart && removes)
        #expect(view.pointer(to: 0, byteCount: 1) == nil)
        #expect(view.regions.map(\.range) == [range(6..<8)])
        try view.add(try GuestRegion(range(0..<1), in: low))
        #expect(view.regions.map(\.range) == [range(0..<1), range(6..<8)])
    }

    @Test func whatAVMMSaysOfItsFileIsNotBelieved() throws {
        let file = try mapping(pages: 4)
        for (pages, offset) in [
            (0..<5, 0), (0..<4, 1), (8..<9, 4 * 4096), (0..<1, -1), (0..<1, .max),
        ]
            as [(Range<UInt64>, Int)]
        {
            #expect(
                throws: RegionError.outsideMapping(range(pages), offset: offset, mapped: 4 * 4096)
            ) { try GuestRegion(range(pages), in: file, offset: offset) }
        }
        var view = GuestView(file)
        #expect(throws: RegionError.overlap(range(3..<5), other: range(0..<4))) {
            try view.add(try GuestRegion(range(3..<5), in: file))
        }
        #expect(view.regions.count == 1)
    }
}
