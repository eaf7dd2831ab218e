import DmaLinux
import GuestMemory
import Synchronization

/// The front-end's bitmap of pages that the back-end has written, by which a guest migrates while it runs
/// (vhost-user.rst, "Migration"): bit p % 8 of byte p / 8 is the page at guest address 4096 p.
///
/// The front-end takes a bit, clears it, and then copies the page. So a page is marked *after* it was written: a mark
/// before the last byte may be taken for a copy without it, and the byte is lost. Marks are sequentially consistent
/// read-modify-writes, which no earlier store of the same thread passes.
public final class DirtyLog: Sendable {
    public let byteCount: UInt64
    private let mapping: SharedMapping
    private let offset: Int

    init(_ log: LogDescription, descriptor: consuming FileDescriptor) throws(ProtocolError) {
        let file = descriptor
        let fileByteCount = try refused { () throws(SystemError) in try file.byteCount }
        guard log.byteCount > 0, let end = MemoryRegion.end(of: log.offset, log.byteCount),
            end <= UInt64(fileByteCount)
        else { throw .log(.longerThanFile(log, fileByteCount)) }
        do throws(SystemError) {
            mapping = try SharedMapping(mapping: file, byteCount: Int(end), name: "dirty log")
        } catch { throw .system(error) }
        byteCount = log.byteCount
        offset = Int(log.offset)
    }

    /// Whether there is a bit for each of these bytes.
    public func covers(_ address: UInt64, byteCount: UInt64) -> Bool {
        guard byteCount > 0 else { return true }
        guard let end = MemoryRegion.end(of: address, byteCount) else { return false }
        return (end - 1) / pageSize / 8 < self.byteCount
    }

    /// Marks the pages of these bytes; false, and nothing marked, where the log does not cover them.
    public func mark(_ address: UInt64, byteCount: UInt64) -> Bool {
        guard byteCount > 0 else { return true }
        guard covers(address, byteCount: byteCount) else { return false }
        let (first, last) = (address / pageSize, (address + (byteCount - 1)) / pageSize)
        for byte in first / 8...last / 8 {
            var mask: UInt8 = 0xFF
            if byte == first / 8 { mask &= 0xFF << UInt8(first % 8) }
            if byte == last / 8 { mask &= 0xFF >> UInt8(7 - last % 8) }
            let place = (mapping.base + offset + Int(byte)).assumingMemoryBound(
                to: Atomic<UInt8>.self)
            place.pointee.bitwiseOr(mask, ordering: .sequentiallyConsistent)
        }
        return true
    }
}

/// What is wrong with a dirty log.
public enum LogFault: Equatable, Sendable, CustomStringConvertible {
    case longerThanFile(LogDescription, Int)
    case tooShort(UInt64, guestEnd: UInt64)
    case usedRing(Int)

    public var description: String {
        switch self {
        case .longerThanFile(let log, let count):
            "a dirty log of \(log.byteCount) bytes from byte \(log.offset) of a file of \(count)"
        case .tooShort(let count, let end):
            "a dirty log of \(count) bytes, for a guest whose memory ends at \(hex(end))"
        case .usedRing(let index):
            "a dirty log that ends before the bits for the used ring of queue \(index)"
        }
    }
}
