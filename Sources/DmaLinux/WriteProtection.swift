import CLinux
import Glibc

/// A process's mapping whose pages any process with this descriptor can write-protect (userfaultfd(2)).
///
/// A store to a protected page raises SIGBUS in that process; a system call that writes there fails with EFAULT. The
/// protection ends with the last copy of the descriptor.
public struct WriteProtection: ~Copyable, Sendable {
    private let descriptor: FileDescriptor
    /// Where the mapping begins in the process that has it.
    private let base: UInt64

    /// Makes this process's mapping protectable; nothing is protected yet. Throws where the kernel has no
    /// `KernelFeature.userfaultfd` for this process.
    public init(of memory: UnsafeMutableRawBufferPointer) throws(SystemError) {
        let number = try check(
            clinux_userfault_open(memory.baseAddress, memory.count), "userfaultfd", of: .userfaultfd
        )
        descriptor = FileDescriptor(owning: number)
        base = UInt64(UInt(bitPattern: memory.baseAddress))
    }

    /// Takes what `send` gave from another process.
    public init(receivingFrom socket: Int32) throws(SystemError) {
        var base: UInt64 = 0
        let number = try check(
            clinux_receive_descriptor(socket, &base, MemoryLayout<UInt64>.size), "recvmsg")
        descriptor = FileDescriptor(owning: number)
        self.base = base
    }

    /// Gives another process a copy.
    public borrowing func send(to socket: Int32) throws(SystemError) {
        var base = base
        try check(
            clinux_send_descriptor(socket, descriptor.raw, &base, MemoryLayout<UInt64>.size),
            "sendmsg")
    }

    /// Protects whole pages, by their offsets in bytes, or lifts that. When it returns every processor obeys.
    public borrowing func set(_ isProtected: Bool, _ bytes: Range<UInt64>) throws(SystemError) {
        try check(
            clinux_userfault_protect(
                descriptor.raw, base + bytes.lowerBound, UInt64(bytes.count), isProtected),
            "ioctl(UFFDIO_WRITEPROTECT)")
    }
}

/// Readiness for stores that meet protected pages (sigaction(2), SIGBUS).
public enum FaultWatch {
    /// From now on `clinux_fill_watched` may be used; any other SIGBUS ends the process as before.
    public static func install() throws(SystemError) {
        try check(clinux_watch_faults(), "sigaction", on: "SIGBUS")
    }
}
