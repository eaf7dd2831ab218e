import CLinux
import Glibc

/// Locks on bytes of a file, which belong to one open file description (fcntl(2), F_OFD_SETLK; Linux 3.15).
///
/// The bytes need not exist. Shared locks of several descriptions may overlap; an exclusive one excludes them all.
/// A description's own locks merge where they overlap. When its last descriptor is closed, or the process ends that
/// has it, the kernel gives its locks back.
public struct FileRangeLocks: ~Copyable, Sendable {
    private let descriptor: FileDescriptor

    /// A new open file description of the file behind descriptor `number`.
    public init(reopening number: Int32) throws(SystemError) {
        descriptor = FileDescriptor(
            owning: try check(
                clinux_reopen(number), "open", on: "/proc/self/fd/\(number)",
                advice: KernelFiles.machine.adviceOnProc()))
    }

    /// Takes a shared lock; false where an exclusive one is in the way.
    @inline(__always)
    public borrowing func share(_ bytes: Range<UInt64>) throws(SystemError) -> Bool {
        try set(Int16(F_RDLCK), bytes)
    }

    /// Takes an exclusive lock; false where another description's lock is in the way.
    public borrowing func exclude(_ bytes: Range<UInt64>) throws(SystemError) -> Bool {
        try set(Int16(F_WRLCK), bytes)
    }

    @inline(__always)
    public borrowing func release(_ bytes: Range<UInt64>) throws(SystemError) {
        _ = try set(Int16(F_UNLCK), bytes)
    }

    @inline(__always)
    private borrowing func set(
        _ type: Int16, _ bytes: Range<UInt64>
    ) throws(SystemError) -> Bool {
        let result = clinux_lock_bytes(
            descriptor.raw, type, bytes.lowerBound, UInt64(bytes.count))
        if result == -EAGAIN || result == -EACCES { return false }
        try check(result, "fcntl(F_OFD_SETLK)")
        return true
    }

    /// The lowest of the bytes that another description has locked.
    public borrowing func firstLocked(in bytes: Range<UInt64>) throws(SystemError) -> UInt64? {
        var lowest: UInt64?
        var end = bytes.upperBound
        // The kernel names one lock, any one: the next lower is below it.
        while end > bytes.lowerBound {
            let start = clinux_find_lock(
                descriptor.raw, bytes.lowerBound, end - bytes.lowerBound)
            if start == -Int64(ENOENT) { break }
            end = max(
                UInt64(try check(start, "fcntl(F_OFD_GETLK)")), bytes.lowerBound)
            lowest = end
        }
        return lowest
    }
}
