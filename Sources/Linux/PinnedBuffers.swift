import CLinux

/// Memory that the kernel has pinned for this process: io_uring's registered buffers (io_uring_register(2)).
///
/// A slot holds up to 1 GiB, pinned for good (FOLL_LONGTERM of Linux, io_uring/rsrc.c) until it is cleared or the
/// process ends. One thread uses it.
public struct PinnedBuffers: ~Copyable {
    private let ring: FileDescriptor

    /// The most that the kernel's table has: IORING_MAX_REG_BUFFERS of io_uring/rsrc.c.
    public static let capacity = 1 << 14
    /// The most that one buffer spans.
    public static let bufferByteLimit = 1 << 30

    /// A table of empty slots. Throws ENOSYS or EPERM where the machine has no io_uring for this process.
    public init() throws(SystemError) {
        let number = try check(
            clinux_uring_create(UInt32(Self.capacity)), "io_uring_setup", of: .ioUring)
        ring = FileDescriptor(owning: number)
    }

    /// Pins `memory` into an empty slot. Throws ENOMEM at the limit on locked memory.
    public func set(_ slot: Int, _ memory: UnsafeMutableRawBufferPointer) throws(SystemError) {
        try check(
            clinux_uring_set_buffer(ring.raw, UInt32(slot), memory.baseAddress, memory.count),
            "io_uring_register", advice: LockedMemory.advice)
    }

    /// Lets go of what the slot holds.
    public func clear(_ slot: Int) {
        _ = clinux_uring_set_buffer(ring.raw, UInt32(slot), nil, 0)
    }
}

/// The limit on memory that a process without CAP_IPC_LOCK may pin (getrlimit(2), RLIMIT_MEMLOCK).
public enum LockedMemory {
    static let advice = "raise the limit: ulimit -l unlimited, as root"

    /// Raises this process's limit as far as it may itself, and returns it, in bytes.
    public static func raiseLimit() -> UInt64 {
        UInt64(max(0, clinux_raise_locked_memory()))
    }

    /// Whether the process is exempt from it.
    public static var isExempt: Bool { clinux_may_lock_memory() }
}
