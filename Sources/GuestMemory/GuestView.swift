import DmaLinux

/// Guest memory as one process maps it: a table of regions, each a run of guest addresses in a mapping.
///
/// A value. Whoever adds or removes a region gives the new table to those who look things up in it, between two requests;
/// the mappings of the old one last as long as anybody has it.
///
/// The guest writes there at any time. Whoever reads through a view copies first, then checks.
public struct GuestView: Sendable {
    /// In the order of their addresses; no two overlap, and there may be holes between them.
    public private(set) var regions: [GuestRegion]
    /// The same, without references: a look-up counts none.
    private var places: [Place]

    fileprivate struct Place {
        let address: UInt64
        let byteCount: UInt64
        let base: UnsafeMutableRawPointer
    }

    /// Guest memory of these regions, in any order.
    public init(_ regions: [GuestRegion]) throws(RegionError) {
        (self.regions, places) = ([], [])
        for region in regions { try add(region) }
    }

    /// Guest memory of one region, at address 0: the first `pages` of the mapping; nil for all of it.
    public init(_ mapping: SharedMapping, pages: PageCount? = nil) {
        let mapped = min(UInt64(mapping.byteCount) / pageSize, PageRange.frameLimit)
        let pages = pages ?? PageCount(mapped)
        precondition(
            pages.rawValue > 0 && pages.rawValue <= mapped,
            "\(pages) of guest memory in a mapping of \(mapped)")
        (regions, places) = ([], [])
        insert(try! GuestRegion(PageRange(start: 0, count: pages.rawValue), in: mapping), at: 0)
    }

    public mutating func add(_ region: GuestRegion) throws(RegionError) {
        if let other = regions.first(where: { $0.range.overlaps(region.range) }) {
            throw .overlap(region.range, other: other.range)
        }
        insert(
            region, at: regions.firstIndex { $0.range.lower > region.range.lower } ?? regions.count)
    }

    /// Takes the region of exactly this range away; false where there is none.
    public mutating func remove(_ range: PageRange) -> Bool {
        guard let index = regions.firstIndex(where: { $0.range == range }) else { return false }
        regions.remove(at: index)
        places.remove(at: index)
        return true
    }

    private mutating func insert(_ region: GuestRegion, at index: Int) {
        regions.insert(region, at: index)
        places.insert(
            Place(
                address: region.range.start.address, byteCount: region.range.count.bytes.rawValue,
                base: region.mapping.base + region.offset), at: index)
    }

    /// One past the last page there is: what a table of a word for each page has to hold.
    public var pages: PageCount { PageCount(regions.last?.range.upper ?? 0) }

    public var wholeRange: PageRange { PageRange(start: 0, count: pages.rawValue) }

    /// The mapping of a guest that has one region, as those that the harness makes itself have; traps for any other.
    public var mapping: SharedMapping {
        precondition(regions.count == 1, "guest memory has \(regions.count) regions, not one")
        return regions[0].mapping
    }

    /// Where bytes of guest memory lie in this process.
    public struct Location {
        public let pointer: UnsafeMutableRawPointer
        /// The region's number: bytes of one region that follow one another for the guest do so here.
        public let region: Int
    }

    /// Where `[address, address + byteCount)` lies; nil where any byte of it is outside guest memory, or in another
    /// region than the first.
    public func location(of address: UInt64, byteCount: UInt64) -> Location? {
        var (low, high) = (0, places.count)
        while low < high {
            let middle = (low + high) / 2
            if places[middle].address <= address { low = middle + 1 } else { high = middle }
        }
        guard low > 0 else { return nil }
        let place = places[low - 1]
        let offset = address - place.address
        guard byteCount <= place.byteCount, offset <= place.byteCount - byteCount else {
            return nil
        }
        return Location(pointer: place.base + Int(offset), region: low - 1)
    }

    /// The same, where the region's number is of no interest.
    public func pointer(to address: UInt64, byteCount: UInt64) -> UnsafeMutableRawPointer? {
        location(of: address, byteCount: byteCount)?.pointer
    }

    /// Where a range that is known to be inside one region lies here; traps where it is not.
    public func pointer(to range: PageRange) -> UnsafeMutableRawPointer {
        guard
            let pointer = pointer(
                to: range.start.address, byteCount: range.count.bytes.rawValue)
        else { preconditionFailure("\(range) is not in one region of guest memory of \(pages)") }
        return pointer
    }

    /// The bytes of a range that is known to be inside one region.
    public func bytes(of range: PageRange) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(
            start: pointer(to: range), count: Int(range.count.bytes.rawValue))
    }
}

// The memory behind the pointers is the guest's, shared by design; the regions beside them keep it mapped.
extension GuestView.Place: @unchecked Sendable {}
