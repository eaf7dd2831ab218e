import Linux

/// Guest memory as one process maps it: guest physical address 0 is the mapping's first byte.
///
/// The guest writes there at any time. Whoever reads through a view copies first, then checks.
public struct GuestView: Sendable {
    public let mapping: SharedMapping
    public let pages: PageCount

    /// The first `pages` of the mapping are guest memory; nil for all of it, which must be whole pages.
    public init(_ mapping: SharedMapping, pages: PageCount? = nil) {
        let mapped = UInt64(mapping.byteCount) / pageSize
        let pages = pages ?? PageCount(mapped)
        precondition(
            pages.rawValue > 0 && pages.rawValue <= mapped,
            "\(pages) of guest memory in a mapping of \(mapped)")
        self.mapping = mapping
        self.pages = pages
    }

    public var wholeRange: PageRange { PageRange(start: 0, count: pages.rawValue) }

    /// Where `[address, address + byteCount)` lies here; nil where any byte of it is outside guest memory.
    public func pointer(to address: UInt64, byteCount: UInt64) -> UnsafeMutableRawPointer? {
        let end = address.addingReportingOverflow(byteCount)
        guard !end.overflow, end.partialValue <= pages.bytes.rawValue else { return nil }
        return mapping.base + Int(address)
    }

    /// Where a range that is known to be inside lies here; traps where it is not.
    public func pointer(to range: PageRange) -> UnsafeMutableRawPointer {
        precondition(range.upper <= pages.rawValue, "\(range) is outside guest memory of \(pages)")
        return mapping.base + Int(range.start.address)
    }

    /// The bytes of a range that is known to be inside.
    public func bytes(of range: PageRange) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(
            start: pointer(to: range), count: Int(range.count.bytes.rawValue))
    }
}
