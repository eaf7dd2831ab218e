import CLinux
import Glibc

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
        let number = try check(clinux_uring_create(), "io_uring_setup", of: .ioUring)
        let result = clinux_uring_add_table(number, UInt32(Self.capacity))
        let ring = FileDescriptor(owning: number)
        try check(
            result, "io_uring_register(BUFFERS2)", on: "\(Self.capacity) empty slots",
            advice: Self.advice(result))
        self.ring = ring
    }

    /// Pins each of the memories into a slot, from the empty one `first` on, with a single call; all of them, or none. Throws
    /// ENOMEM at the limit on locked memory.
    public func set(_ first: Int, _ memories: [iovec]) throws(SystemError) {
        let done = clinux_uring_set_buffers(
            ring.raw, UInt32(first), memories, UInt32(memories.count))
        guard done != memories.count else { return }
        // The kernel says how far it came, and why it stopped there only where it starts there.
        let place = Int(max(0, done))
        let failed = memories[place]
        var result = done
        if done >= 0 {
            result = clinux_uring_set_buffers(ring.raw, UInt32(first + place), [failed], 1)
            clear(first..<first + place + 1)
            // It would have been possible a moment later.
            if result >= 0 { result = -EAGAIN }
        }
        try check(
            result, "io_uring_register(BUFFERS_UPDATE)", on: "\(failed.iov_len) bytes",
            advice: Self.advice(result))
    }

    /// ENOMEM is the limit's, or that of the kernel's own memory, in which its table of pages is to lie in one piece.
    private static func advice(_ result: Int32) -> String {
        result == -ENOMEM
            ? "raise the limit on locked memory (ulimit -l), free memory of the kernel "
                + "(echo 1 | sudo tee /proc/sys/vm/compact_memory), or choose a smaller --size or --chunk"
            : KernelFeature.ioUring.advice(for: -result)
    }

    /// Lets go of what the slots hold.
    public func clear(_ slots: Range<Int>) {
        let none = Array(repeating: iovec(), count: slots.count)
        var next = slots.lowerBound
        // A call may be cut short.
        while next < slots.upperBound {
            let done = clinux_uring_set_buffers(
                ring.raw, UInt32(next), none, UInt32(slots.upperBound - next))
            guard done > 0 else { return }
            next += Int(done)
        }
    }
}

/// The limit on memory that a process without CAP_IPC_LOCK may pin (getrlimit(2), RLIMIT_MEMLOCK).
public enum LockedMemory {
    /// Raises this process's limit as far as it may itself, and returns it, in bytes.
    public static func raiseLimit() -> UInt64 {
        UInt64(max(0, clinux_raise_locked_memory()))
    }

    /// Whether the process is exempt from it.
    public static var isExempt: Bool { clinux_may_lock_memory() }
}
