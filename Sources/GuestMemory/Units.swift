/// A guest frame number: the index of a 4 KiB page of guest memory.
///
/// Zero-based; guest physical address = GFN * 4096. Up to 2^32 frames, a 16 TiB guest.
public struct GFN: BitwiseCopyable, Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    @inlinable public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    @inlinable public static func < (left: GFN, right: GFN) -> Bool {
        left.rawValue < right.rawValue
    }
    @inlinable public static func + (gfn: GFN, pages: PageCount) -> GFN {
        GFN(gfn.rawValue + pages.rawValue)
    }

    /// The guest physical address of the page's first byte.
    @inlinable public var address: UInt64 { rawValue * pageSize }

    public var description: String { "GFN 0x" + String(rawValue, radix: 16) }
}

/// Bytes in a page: the smallest unit of an RMP entry (AMD APM vol. 2, 15.36.3).
public let pageSize: UInt64 = 4096
/// Pages in a 2 MiB RMP entry.
public let pagesPerLargeEntry: UInt64 = 512
/// Pages in a GiB.
public let pagesPerGiB: UInt64 = 1 << 18

/// A number of 4 KiB pages.
public struct PageCount: BitwiseCopyable, Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    @inlinable public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    @inlinable public static func < (left: PageCount, right: PageCount) -> Bool {
        left.rawValue < right.rawValue
    }

    /// The pages that `bytes` fill; nil where the last one would be filled in part.
    public init?(exactly bytes: ByteCount) {
        guard bytes.rawValue % pageSize == 0 else { return nil }
        self.init(bytes.rawValue / pageSize)
    }

    public var bytes: ByteCount { ByteCount(rawValue * pageSize) }
    public var description: String { rawValue == 1 ? "1 page" : "\(rawValue) pages" }
}

/// A number of bytes.
public struct ByteCount: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    @inlinable public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    @inlinable public static func < (left: ByteCount, right: ByteCount) -> Bool {
        left.rawValue < right.rawValue
    }

    /// The largest IEC unit that divides it: `1G`, `64M`, `4K`, `17`.
    public var description: String {
        for (shift, unit) in [(40, "T"), (30, "G"), (20, "M"), (10, "K")] {
            if rawValue != 0 && rawValue & ((1 << shift) - 1) == 0 {
                return "\(rawValue >> shift)\(unit)"
            }
        }
        return String(rawValue)
    }
}

/// A run of pages: `[start, start + count)`, never empty, never past the last of 2^32 frames.
public struct PageRange: BitwiseCopyable, Hashable, Sendable, CustomStringConvertible {
    public let start: GFN
    public let count: PageCount

    /// One past the largest GFN there is: 16 TiB of guest memory.
    public static let frameLimit: UInt64 = 1 << 32

    /// Nil where the range would be empty or reach past `frameLimit`: for what a guest asks.
    @inlinable
    public init?(checkingStart start: UInt64, count: UInt64) {
        guard count > 0, start < Self.frameLimit, count <= Self.frameLimit - start else {
            return nil
        }
        self.start = GFN(start)
        self.count = PageCount(count)
    }

    /// Traps on an empty or too long range: for what the program itself works out.
    @inlinable
    public init(start: UInt64, count: UInt64) {
        precondition(
            count > 0 && start < Self.frameLimit && count <= Self.frameLimit - start,
            "no page range: start \(start), count \(count)")
        self.start = GFN(start)
        self.count = PageCount(count)
    }

    /// The first and one past the last raw frame number.
    @inlinable public var lower: UInt64 { start.rawValue }
    @inlinable public var upper: UInt64 { start.rawValue &+ count.rawValue }

    @inlinable public func contains(_ gfn: GFN) -> Bool {
        gfn.rawValue >= lower && gfn.rawValue < upper
    }
    @inlinable public func contains(_ other: PageRange) -> Bool {
        other.lower >= lower && other.upper <= upper
    }
    @inlinable public func overlaps(_ other: PageRange) -> Bool {
        other.lower < upper && lower < other.upper
    }

    /// The pages both have; nil where there is none.
    public func intersection(_ other: PageRange) -> PageRange? {
        guard overlaps(other) else { return nil }
        let start = max(lower, other.lower)
        return PageRange(start: start, count: min(upper, other.upper) - start)
    }

    public var description: String { "\(count) from \(start)" }
}
