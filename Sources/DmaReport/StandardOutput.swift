import DmaLinux
import Glibc

/// Text for people or scripts that asked for it: help, tables, plans.
public enum StandardOutput {
    static let name = "standard output"

    /// Writes all of it, or throws. The process must ignore SIGPIPE to see `OutputError.readerGone`.
    public static func write(_ text: String) throws(OutputError) {
        // A copy, so that standard output stays open.
        let number = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
        guard number >= 0 else { throw OutputError("dup", errno, on: name) }
        try FileDescriptor(owning: number).writeAll(Array(text.utf8), name: name)
    }
}
