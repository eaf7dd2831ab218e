import CTorture
import Glibc

/// How a call is made to fail.
enum Mishap: Hashable, CustomStringConvertible {
    /// It is refused with this error number.
    case error(Int32)
    /// It reads or writes half of what it should.
    case short

    var description: String {
        switch self {
        case .error(let code): String(cString: strerror(code))
        case .short: "half of the bytes"
        }
    }

    /// What every caller has to live through without a word: the call is made again, or goes on where it stopped.
    var isPassing: Bool { self == .error(EINTR) || self == .short }

    /// Whether all calls from one on may fail so: what EAGAIN says is that they will not.
    var mayLast: Bool { !isPassing && self != .error(EAGAIN) }
}

/// The system calls that a run makes, with the errors that their manual pages (section 2) list for them.
///
/// Left out is what tells of a wrong argument, which the passing run does not have (EBADF, EFAULT, ENOTSOCK, most of
/// EINVAL), and what is an answer rather than a failure (ENXIO of lseek, ENOTTY, EPIPE of a socket). EINVAL and ENOSYS
/// stand where an older kernel gives them, EPERM also where a filter does. Calls that cannot fail otherwise are not
/// here.
enum CallTable {
    struct Entry: Sendable {
        let name: String
        let number: Int32
        let errors: [Int32]
        /// It takes effect all the same: close(2) of Linux gives the descriptor back whatever it says.
        var isCarriedOut = false
        /// Whether it can have half of the bytes.
        var canBeShort = false
        /// How often it is made depends on time: of each process the first ones stand for all.
        var isOfLoop = false
    }

    private static let path = [EACCES, ELOOP, ENOENT, ENOMEM, ENOTDIR]
    private static let writing = [EDQUOT, EFBIG, EINTR, EIO, ENOSPC, EPERM]
    private static let descriptors = [EMFILE, ENFILE, ENOMEM]
    private static let processes = [EAGAIN, ENOMEM, EPERM]

    static let entries: [Entry] = [
        // Files
        Entry("openat", SYS_openat, path + [EINTR, EMFILE, ENFILE, EPERM]),
        Entry("newfstatat", SYS_newfstatat, path + [EOVERFLOW]),
        Entry("readlink", SYS_readlink, path + [EIO]),
        Entry("access", SYS_access, path + [EIO]),
        Entry("getdents64", SYS_getdents64, [ENOENT, ENOMEM]),
        Entry("read", SYS_read, [EINTR, EIO], canBeShort: true),
        Entry("pread64", SYS_pread64, [EINTR, EIO], canBeShort: true),
        Entry("write", SYS_write, writing, canBeShort: true),
        Entry("pwrite64", SYS_pwrite64, writing, canBeShort: true),
        Entry("lseek", SYS_lseek, [EINVAL]),
        Entry("ftruncate", SYS_ftruncate, [EFBIG, EINTR, EIO, EPERM]),
        Entry("fallocate", SYS_fallocate, writing + [EOPNOTSUPP]),
        Entry("fsync", SYS_fsync, [EDQUOT, EINTR, EIO, ENOSPC]),
        Entry("fdatasync", SYS_fdatasync, [EDQUOT, EINTR, EIO, ENOSPC]),
        Entry("rename", SYS_rename, path + [EBUSY, EDQUOT, ENOSPC, EPERM, EROFS, EXDEV]),
        Entry("mkdir", SYS_mkdir, path + [EDQUOT, ENOSPC, EPERM, EROFS]),
        Entry("close", SYS_close, [EDQUOT, EINTR, EIO, ENOSPC], isCarriedOut: true),
        Entry("fcntl", SYS_fcntl, [EMFILE, ENOLCK, EINVAL]),
        // Memory
        Entry("memfd_create", SYS_memfd_create, descriptors + [EINVAL, ENOSYS, EPERM]),
        Entry("mmap", SYS_mmap, [EAGAIN, ENFILE, ENODEV, ENOMEM, EPERM]),
        Entry("mprotect", SYS_mprotect, [EACCES, ENOMEM]),
        Entry("munmap", SYS_munmap, [ENOMEM]),
        Entry("madvise", SYS_madvise, [EAGAIN, EHWPOISON, EINTR, EINVAL, EIO, ENOMEM, EPERM]),
        Entry("move_pages", SYS_move_pages, [EACCES, ENODEV, ENOMEM, ENOSYS, EPERM]),
        Entry("mbind", SYS_mbind, [EINVAL, EIO, ENOMEM, ENOSYS, EPERM]),
        Entry("get_mempolicy", SYS_get_mempolicy, [EINVAL, ENOSYS, EPERM]),
        Entry("userfaultfd", SYS_userfaultfd, descriptors + [EINVAL, ENOSYS, EPERM]),
        Entry("ioctl", SYS_ioctl, [EAGAIN, EBUSY, EINVAL, ENOMEM, EPERM]),
        Entry("io_uring_setup", SYS_io_uring_setup, descriptors + [EINVAL, ENOSYS, EPERM]),
        Entry("io_uring_register", SYS_io_uring_register, [EINVAL, ENOMEM, EOPNOTSUPP, EPERM]),
        Entry("io_uring_enter", SYS_io_uring_enter, [EAGAIN, EBUSY, EINTR, ENOMEM]),
        // Processes and threads
        Entry("clone", SYS_clone, processes + [ENOSPC]),
        Entry("clone3", SYS_clone3, processes + [ENOSPC, ENOSYS]),
        Entry("execve", SYS_execve, path + [EAGAIN, EIO, EMFILE, ENFILE, ENOEXEC, EPERM, ETXTBSY]),
        Entry("dup2", SYS_dup2, [EBUSY, EINTR, EMFILE]),
        Entry("setpgid", SYS_setpgid, [EACCES, EPERM]),
        Entry("waitid", SYS_waitid, [EINTR]),
        Entry("pidfd_open", SYS_pidfd_open, descriptors + [ENODEV, ENOSYS, EPERM]),
        Entry("pidfd_send_signal", SYS_pidfd_send_signal, [ENOSYS, EPERM]),
        Entry("prctl", SYS_prctl, [EINVAL, EPERM]),
        Entry("prlimit64", SYS_prlimit64, [EPERM]),
        Entry("sched_setaffinity", SYS_sched_setaffinity, [EINVAL, EPERM]),
        Entry("sched_getaffinity", SYS_sched_getaffinity, [EINVAL, EPERM]),
        Entry("membarrier", SYS_membarrier, [EINVAL, ENOSYS, EPERM]),
        Entry("getrandom", SYS_getrandom, [EAGAIN, EINTR, ENOSYS]),
        // Between processes
        Entry("socketpair", SYS_socketpair, descriptors + [EAFNOSUPPORT, EPROTONOSUPPORT]),
        Entry("sendto", SYS_sendto, [EINTR, ENOBUFS, ENOMEM]),
        Entry("recvfrom", SYS_recvfrom, [EINTR, ENOMEM]),
        Entry("sendmsg", SYS_sendmsg, [EINTR, ENOBUFS, ENOMEM]),
        Entry("recvmsg", SYS_recvmsg, [EINTR, ENOMEM]),
        Entry("shutdown", SYS_shutdown, [ENOTCONN]),
        Entry("eventfd2", SYS_eventfd2, descriptors + [ENODEV]),
        // Waiting
        Entry("ppoll", SYS_ppoll, [EINTR, ENOMEM], isOfLoop: true),
        Entry("futex", SYS_futex, [EAGAIN, EINTR], isOfLoop: true),
        Entry("clock_nanosleep", SYS_clock_nanosleep, [EINTR], isOfLoop: true),
    ]

    static let ofNumber = Dictionary(uniqueKeysWithValues: entries.map { ($0.number, $0) })

    /// How many calls of a loop stand for all of them, of each process.
    static let loopLimit = 6

    /// What can befall a call with these arguments; `isFile` where its descriptor is of a file with a name.
    static func mishaps(
        _ entry: Entry, _ arguments: (UInt64, UInt64, UInt64, UInt64), isFile: Bool
    ) -> [Mishap] {
        var errors = entry.errors
        switch entry.number {
        // The words by which the run is judged.
        case SYS_write where arguments.0 == 2: return []
        case SYS_openat where Int32(truncatingIfNeeded: arguments.2) & O_CREAT != 0:
            errors += [EDQUOT, EISDIR, ENOSPC, EROFS, ETXTBSY]
        case SYS_newfstatat where Int32(truncatingIfNeeded: arguments.3) & 0x1000 != 0:
            // AT_EMPTY_PATH: an open file, no path to go wrong.
            errors = [ENOMEM, EOVERFLOW]
        case SYS_write where !isFile, SYS_read where !isFile:
            // Of an event descriptor, a pipe, a terminal.
            errors.removeAll { [EDQUOT, EFBIG, ENOSPC].contains($0) }
        case SYS_mmap
        where Int32(truncatingIfNeeded: arguments.3) & (MAP_ANONYMOUS | 0x20000)
            == MAP_ANONYMOUS:
            // The allocator's own, no thread's stack (MAP_STACK): Swift ends a program that gets no memory.
            errors = []
        case SYS_fcntl:
            switch Int32(truncatingIfNeeded: arguments.1) {
            case F_DUPFD_CLOEXEC: errors = [EMFILE]
            case 36, 37: errors = [EINVAL, ENOLCK]  // F_OFD_GETLK, F_OFD_SETLK
            default: errors = []
            }
        case SYS_ioctl where arguments.1 >> 8 & 0xff != 0xaa:
            // Not of userfaultfd: what a terminal is asked may well not be one.
            errors = []
        default: break
        }
        // An event's eight bytes come whole.
        let isShort = entry.canBeShort && (isFile || arguments.2 != 8)
        return errors.map { .error($0) } + (isShort ? [.short] : [])
    }
}

extension CallTable.Entry {
    fileprivate init(
        _ name: String, _ number: Int32, _ errors: [Int32], isCarriedOut: Bool = false,
        canBeShort: Bool = false, isOfLoop: Bool = false
    ) {
        self.name = name
        self.number = number
        self.errors = errors
        self.isCarriedOut = isCarriedOut
        self.canBeShort = canBeShort
        self.isOfLoop = isOfLoop
    }
}
