import CLinux
import Glibc

/// An open file descriptor that is closed when its owner ends.
public struct FileDescriptor: ~Copyable, Sendable {
    public let raw: Int32

    /// Takes over `raw`, which nobody else may close.
    public init(owning raw: Int32) { self.raw = raw }

    deinit { close(raw) }

    /// A close-on-exec copy of descriptor `number`, with a number of at least `lowest`.
    public static func duplicate(
        _ number: Int32, from lowest: Int32 = 3
    ) throws(SystemError) -> FileDescriptor {
        FileDescriptor(
            owning: try checkErrno(
                fcntl(number, F_DUPFD_CLOEXEC, lowest), "fcntl(F_DUPFD_CLOEXEC)",
                on: "descriptor \(number)"))
    }

    /// The length of the file behind it, in bytes.
    public var byteCount: Int {
        get throws(SystemError) {
            var status = stat()
            try checkErrno(fstat(raw, &status), "fstat")
            return Int(status.st_size)
        }
    }

    /// The unit in which its file can be mapped, in bytes: a power of two; that of a huge page for a file of such
    /// (st_blksize of stat(2), as hugetlbfs and tmpfs set it).
    public var mappingGranularity: Int {
        get throws(SystemError) {
            var status = stat()
            try checkErrno(fstat(raw, &status), "fstat")
            let size = Int(status.st_blksize)
            return (4096...1 << 30).contains(size) && size & (size - 1) == 0 ? size : 4096
        }
    }

    /// Whether it is an eventfd(2): to write to it neither waits nor raises a signal, once it is nonblocking.
    public var isEvent: Bool {
        var target = [UInt8](repeating: 0, count: 64)
        let length = target.withUnsafeMutableBytes {
            readlink("/proc/self/fd/\(raw)", $0.baseAddress!, $0.count)
        }
        return length > 0
            && String(decoding: target.prefix(length), as: UTF8.self) == "anon_inode:[eventfd]"
    }

    /// Has reads and writes of the file behind it, by whomever, return instead of waiting (O_NONBLOCK).
    public borrowing func makeNonblocking() throws(SystemError) {
        let flags = try checkErrno(fcntl(raw, F_GETFL), "fcntl(F_GETFL)")
        guard flags & O_NONBLOCK == 0 else { return }
        try checkErrno(fcntl(raw, F_SETFL, flags | O_NONBLOCK), "fcntl(F_SETFL)")
    }

    /// The numbers of both ends of a packet socket, each for the caller to own: each send arrives whole or
    /// not at all, and a closed end reads as 0 bytes.
    public static func packetPair() throws(SystemError) -> (Int32, Int32) {
        var ends: [Int32] = [-1, -1]
        try check(clinux_socket_pair(&ends), "socketpair", of: .basic)
        return (ends[0], ends[1])
    }

    /// Ends the conversation over a socket: the other end reads that we have gone, whoever else has a copy of ours.
    public borrowing func hangUp() { shutdown(raw, Int32(SHUT_RDWR)) }

    /// Which of up to 64 descriptors are readable or hung up, as a bit mask; waits for one until the time-out, or a
    /// signal. Throws where the kernel does not let it wait: nobody would ever be heard.
    public static func readable(
        _ descriptors: [Int32], milliseconds: UInt64
    ) throws(SystemError) -> UInt64 {
        var mask: UInt64 = 0
        let ready = clinux_wait_readable(
            descriptors, Int32(descriptors.count), Int64(clamping: milliseconds) * 1_000_000, &mask)
        guard ready != -EINTR else { return 0 }
        try check(ready, "ppoll", advice: KernelFeature.basic.advice(for: -ready))
        return mask
    }

    /// A counter that one side adds to and the other waits for (eventfd(2)).
    public static func event() throws(SystemError) -> FileDescriptor {
        FileDescriptor(owning: try check(clinux_eventfd(), "eventfd", of: .basic))
    }

    /// Adds one to an event descriptor and so wakes its reader.
    public borrowing func notify() {
        var one: UInt64 = 1
        while write(raw, &one, 8) == -1 && errno == EINTR {}
    }

    /// Waits until an event descriptor has been notified, then clears it; false at the time-out, or a signal.
    public borrowing func waitNotified(timeoutMilliseconds: Int32) -> Bool {
        waitNotified(until: .after(milliseconds: UInt64(max(0, timeoutMilliseconds))))
    }

    /// The same until that time.
    public borrowing func waitNotified(until deadline: Deadline) -> Bool {
        Self.waitNotified([raw], until: deadline)
    }

    /// Waits until one of up to 64 event descriptors has been notified, then clears those that have; false at the
    /// deadline, or a signal. Others may wait for the same: one of them has it then.
    public static func waitNotified(_ descriptors: [Int32], until deadline: Deadline) -> Bool {
        let now = monotonicNanoseconds()
        let left = deadline.nanoseconds - min(now, deadline.nanoseconds)
        var mask: UInt64 = 0
        guard
            clinux_wait_readable(
                descriptors, Int32(descriptors.count), Int64(clamping: left), &mask) > 0
        else { return false }
        var isNotified = false
        for (bit, descriptor) in descriptors.enumerated() where mask & 1 << UInt64(bit) != 0 {
            var count: UInt64 = 0
            if read(descriptor, &count, 8) == 8 { isNotified = true }
        }
        return isNotified
    }
}
