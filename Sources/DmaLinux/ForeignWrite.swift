import CLinux
import Glibc

/// Writes that the kernel does on a program's behalf, of zeros into a page: what a device does that hands a guest's
/// buffer to a system call.
public enum ForeignWrite: CaseIterable, Sendable {
    case read
    case ioUring

    /// Bytes written, or minus the error number.
    public func callAsFunction(into memory: UnsafeMutableRawBufferPointer) -> Int {
        let file = open("/dev/zero", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return -Int(errno) }
        defer { close(file) }
        switch self {
        case .read:
            let count = Glibc.read(file, memory.baseAddress, memory.count)
            return count < 0 ? -Int(errno) : count
        case .ioUring:
            return Int(clinux_uring_read(file, memory.baseAddress, UInt32(clamping: memory.count)))
        }
    }
}
