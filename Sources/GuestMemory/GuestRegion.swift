import DmaLinux

/// A run of guest memory that lies in one mapping: what a VMM calls a memory region or a slot.
public struct GuestRegion: Sendable {
    /// Where the guest sees it.
    public let range: PageRange
    public let mapping: SharedMapping
    /// Where its first byte lies in the mapping, in bytes.
    public let offset: Int

    /// Throws `outsideMapping` where the mapping ends before the region does: what a VMM said of its file is not believed.
    public init(
        _ range: PageRange, in mapping: SharedMapping, offset: Int = 0
    ) throws(RegionError) {
        guard offset >= 0, offset <= mapping.byteCount,
            range.count.bytes.rawValue <= UInt64(mapping.byteCount - offset)
        else { throw .outsideMapping(range, offset: offset, mapped: mapping.byteCount) }
        self.range = range
        self.mapping = mapping
        self.offset = offset
    }
}

/// A region that guest memory cannot have.
public enum RegionError: Error, Equatable, Sendable, CustomStringConvertible {
    case outsideMapping(PageRange, offset: Int, mapped: Int)
    case overlap(PageRange, other: PageRange)

    public var description: String {
        switch self {
        case .outsideMapping(let range, let offset, let mapped):
            "\(range) of guest memory at byte \(offset) of a mapping of \(mapped) bytes: the file is too short"
        case .overlap(let range, let other):
            "\(range) of guest memory overlaps \(other): remove that region first"
        }
    }
}
