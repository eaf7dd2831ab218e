import GuestMemory

/// Which of a device's registrations has a page: a table of two levels, private to the device.
///
/// A region of 2 MiB that one registration has all of is one word; of another, each page has its own. So a single page is
/// found in two steps, and a registration of a GiB costs no more than 512 words.
struct PageMap {
    /// Zero for nobody. Below it, a registration's number in the upper 63 bits and a one in the lowest, or the address of a
    /// table of numbers, one a page.
    private let regions: UnsafeMutablePointer<UInt>
    private let regionCount: Int
    private let pages: UInt64

    private static let regionPages: UInt64 = 512

    /// To be freed by its owner.
    init(pages: PageCount) {
        self.pages = pages.rawValue
        regionCount = Int((pages.rawValue + Self.regionPages - 1) / Self.regionPages)
        regions = .allocate(capacity: regionCount)
        regions.initialize(repeating: 0, count: regionCount)
    }

    func free() {
        for region in 0..<regionCount { table(regions[region])?.deallocate() }
        regions.deallocate()
    }

    /// The number of the registration that has the page, which is one of the guest's; zero where none has.
    @inline(__always)
    subscript(page: UInt64) -> UInt32 {
        let word = regions[Int(page / Self.regionPages)]
        if word & 1 != 0 { return UInt32(truncatingIfNeeded: word >> 1) }
        guard let numbers = table(word) else { return 0 }
        return numbers[Int(page % Self.regionPages)]
    }

    /// The number of the registration that has the range's first page; zero where none has, or the range reaches past the
    /// guest.
    @inline(__always)
    func first(of range: PageRange) -> UInt32 { range.upper <= pages ? self[range.lower] : 0 }

    @inline(__always)
    private func table(_ word: UInt) -> UnsafeMutablePointer<UInt32>? {
        word & 1 == 0 ? UnsafeMutablePointer(bitPattern: word) : nil
    }

    /// Gives the range's pages to a registration, or to nobody.
    func set(_ range: PageRange, to number: UInt32) {
        var page = range.lower
        while page < range.upper {
            let region = Int(page / Self.regionPages)
            let start = page - page % Self.regionPages
            let end = min(start + Self.regionPages, range.upper)
            if page == start, end == start + Self.regionPages {
                table(regions[region])?.deallocate()
                regions[region] = number == 0 ? 0 : UInt(number) << 1 | 1
            } else {
                let numbers = table(of: region)
                for page in page..<end { numbers[Int(page - start)] = number }
            }
            page = end
        }
    }

    /// The region's table: made where there is none yet.
    private func table(of region: Int) -> UnsafeMutablePointer<UInt32> {
        let word = regions[region]
        if let table = table(word) { return table }
        let table = UnsafeMutablePointer<UInt32>.allocate(capacity: Int(Self.regionPages))
        table.initialize(
            repeating: UInt32(truncatingIfNeeded: word >> 1), count: Int(Self.regionPages))
        regions[region] = UInt(bitPattern: table)
        return table
    }

    /// The first page of the range that a registration has.
    func firstTaken(in range: PageRange) -> UInt64? {
        var page = range.lower
        while page < range.upper {
            if self[page] != 0 { return page }
            let isEmpty = regions[Int(page / Self.regionPages)] == 0
            page += isEmpty ? Self.regionPages - page % Self.regionPages : 1
        }
        return nil
    }
}
