import CLinux
import DmaLinux
import Glibc
import GuestMemory

/// A file in the page cache, out of which the kernel writes for the `file` engine.
///
/// 4 MiB of a memory file that hold nothing but the request's word, so that any part of it will do. The kernel stops at
/// a page that is protected, as a store of the process would.
final class FileSource {
    private static let byteCount = 4 << 20
    private let file: SharedMapping

    init() throws(SystemError) {
        file = try SharedMapping.create(name: "dma-source", byteCount: Self.byteCount)
    }

    /// As much as a request of so many bytes is read out of.
    func hold(_ word: UInt64, _ byteCount: UInt64) {
        clinux_fill_rep_stosq(file.base, word, heldBytes(of: byteCount, at: Self.byteCount))
    }

    /// Has the kernel write that many bytes (pread(2)): each word lies at a multiple of its size. Returns where it stopped,
    /// and everything below that is written; nil where it did not.
    func write(_ start: UnsafeMutableRawPointer, byteCount: Int) -> UnsafeMutableRawPointer? {
        var done = 0
        while done < byteCount {
            let offset = Int(UInt(bitPattern: start + done) % 8)
            let piece = min(Self.byteCount - offset, byteCount - done)
            let count = uninterrupted {
                pread(file.fileDescriptor, start + done, piece, off_t(offset))
            }
            guard count > 0 else {
                precondition(errno == EFAULT, "a read of the page cache: errno \(errno)")
                return start + done
            }
            done += count
        }
        return nil
    }
}

// Changed by `hold` only, between requests, as `CopySource` is.
extension FileSource: @unchecked Sendable {}
