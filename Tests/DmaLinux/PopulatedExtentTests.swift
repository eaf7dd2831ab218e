import Testing

@testable import DmaLinux

/// Which parts of a file hold data, whatever is asked for at once.
@Suite struct PopulatedExtentTests {
    private static let page = 4096
    private static let pages = 40

    private func bytes(_ pages: Range<Int>) -> Range<Int> {
        pages.lowerBound * Self.page..<pages.upperBound * Self.page
    }

    /// A file with data in these pages and nowhere else.
    private func file(with data: [Range<Int>]) throws -> SharedMapping {
        let file = try SharedMapping.create(name: "extents", byteCount: Self.pages * Self.page)
        for extent in data { try file.populate(bytes(extent)) }
        return file
    }

    private func found(_ file: SharedMapping, _ parts: [Range<Int>]) throws -> [Range<Int>] {
        var found: [Range<Int>] = []
        try file.forEachPopulatedExtent(of: parts.map(bytes)) {
            found.append($0.lowerBound / Self.page..<$0.upperBound / Self.page)
        }
        return found
    }

    @Test func whatHoldsDataOfEachPartIsFound() throws {
        let data = [0..<2, 5..<6, 10..<30, 39..<40]
        let file = try file(with: data)
        #expect(try found(file, [0..<Self.pages]) == data)
        // Within an extent, across its ends, in holes, behind the last data, in any order.
        #expect(try found(file, [12..<13, 11..<12, 20..<21]) == [11..<12, 12..<13, 20..<21])
        #expect(try found(file, [1..<11]) == [1..<2, 5..<6, 10..<11])
        #expect(try found(file, [3..<4, 6..<9, 31..<38]) == [])
        #expect(try found(file, [30..<Self.pages + 7]) == [39..<40])
        #expect(try found(file, []) == [])
    }

    @Test func whatIsDrawnIsAsPageByPage() throws {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<50 {
            let isData = (0..<Self.pages).map { _ in Bool.random(using: &generator) }
            let file = try file(with: isData.indices.filter { isData[$0] }.map { $0..<$0 + 1 })
            let parts = (0..<8).map { _ in
                let start = Int.random(in: 0..<Self.pages, using: &generator)
                return start..<Int.random(in: start...Self.pages, using: &generator)
            }
            let expected = parts.sorted { $0.lowerBound < $1.lowerBound }.flatMap { part in
                part.filter { isData[$0] }
            }
            #expect(try found(file, parts).flatMap { Array($0) } == expected)
        }
    }

    @Test func anEmptyFileHasNone() throws {
        let file = try file(with: [])
        #expect(try found(file, [0..<Self.pages, 3..<4]) == [])
    }
}
