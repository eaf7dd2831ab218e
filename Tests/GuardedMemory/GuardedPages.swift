import DmaLinux
import Glibc
import GuestMemory

/// Pages of a mapping with a guard page on either side, which nothing may write.
public final class GuardedPages {
    private static let guardByte: UInt8 = 0xA7
    private let mapping: SharedMapping
    public let bytes: UnsafeMutableRawBufferPointer

    public init(pages: Int) throws {
        let page = Int(pageSize)
        mapping = try SharedMapping.create(name: "guarded", byteCount: (pages + 2) * page)
        bytes = UnsafeMutableRawBufferPointer(start: mapping.base + page, count: pages * page)
        memset(mapping.base, Int32(Self.guardByte), page)
        memset(mapping.base + page + bytes.count, Int32(Self.guardByte), page)
    }

    public func lines(_ lines: Range<Int>) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(
            rebasing: bytes[lines.lowerBound * 64..<lines.upperBound * 64])
    }

    /// The first byte outside `lines` that is neither a guard's nor, inside the pages, zero.
    public func firstStrayByte(outside lines: Range<Int>) -> Int? {
        let page = Int(pageSize)
        for offset in 0..<mapping.byteCount {
            let inside = offset - page
            if inside >= lines.lowerBound * 64 && inside < lines.upperBound * 64 { continue }
            let isGuard = inside < 0 || inside >= bytes.count
            let found = mapping.base.load(fromByteOffset: offset, as: UInt8.self)
            if found != (isGuard ? Self.guardByte : 0) { return inside }
        }
        return nil
    }
}
