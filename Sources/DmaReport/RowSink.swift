import DmaLinux
import Glibc

/// Where rows go: standard output, or a file that never ends in half a row.
///
/// The process must ignore SIGPIPE to see `OutputError.readerGone`, and SIGXFSZ to see a file-size
/// limit as an error.
public struct RowSink: ~Copyable {
    private let format: Format
    private let output: FileDescriptor
    private let name: String
    /// Bytes of whole rows in a file of its own; nil where the output cannot be cut or synced.
    private var wholeBytes: off_t?

    /// Where the environment belongs beside the rows; nil unless they go to a regular file that is named as such.
    public let environmentPath: String?

    /// Opens and empties `path`, or takes standard output where it is nil, and writes the header.
    public init(_ format: Format, path: String? = nil) throws(OutputError) {
        if let path {
            self = try Self.emptying(path, format)
        } else {
            // A copy, so that standard output stays open when the sink ends.
            let number = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
            guard number >= 0 else { throw OutputError("dup", errno, on: StandardOutput.name) }
            try self.init(format, stream: FileDescriptor(owning: number))
        }
    }

    /// Replaces `path` by a file of `rows` in one step: whoever looks sees the old file or the new one.
    public static func replacing(
        _ path: String, by rows: [Row], _ format: Format
    ) throws(OutputError) -> RowSink {
        var status = stat()
        if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
            // A device or a pipe has no content to lose.
            return try emptying(path, format, rows)
        }
        // Where a link leads to, so that it stays a link.
        let resolved = realpath(path, nil)
        defer { free(resolved) }
        let target = resolved.map { String(cString: $0) } ?? path
        let temporary = "\(target).\(getpid()).tmp"
        do throws(OutputError) {
            let sink = try emptying(temporary, format, rows, name: path)
            guard rename(temporary, target) == 0 else {
                throw OutputError("rename", errno, on: path)
            }
            return sink
        } catch {
            unlink(temporary)
            throw error
        }
    }

    /// A file of these rows alone, which messages call `name`.
    private static func emptying(
        _ path: String, _ format: Format, _ rows: [Row] = [], name: String? = nil
    ) throws(OutputError) -> RowSink {
        let file = try FileDescriptor.openOutput(path, O_CREAT | O_TRUNC)
        var status = stat()
        guard fstat(file.raw, &status) == 0 else { throw OutputError("fstat", errno, on: path) }
        return try RowSink(
            format, file: file, isRegular: status.st_mode & S_IFMT == S_IFREG, name: name ?? path,
            rows: rows)
    }

    /// A stream that others may write to as well: nothing in it is cut or synced.
    init(_ format: Format, stream: consuming FileDescriptor) throws(OutputError) {
        self.format = format
        output = stream
        name = StandardOutput.name
        wholeBytes = nil
        environmentPath = nil
        try append(format.header)
    }

    private init(
        _ format: Format, file: consuming FileDescriptor, isRegular: Bool, name: String, rows: [Row]
    ) throws(OutputError) {
        self.format = format
        output = file
        self.name = name
        wholeBytes = isRegular ? 0 : nil
        environmentPath =
            isRegular && !OutputFile.isDescriptor(name) ? Environment.path(beside: name) : nil
        try append(format.header + rows.map(format.line).joined())
    }

    /// Writes one row, whole; in a file it is on the disk when this returns.
    public mutating func write(_ row: Row) throws(OutputError) {
        try append(format.line(row))
    }

    /// Writes rows that belong together: all, or none.
    public mutating func write(_ rows: [Row]) throws(OutputError) {
        try append(rows.map(format.line).joined())
    }

    private mutating func append(_ text: String) throws(OutputError) {
        let bytes = Array(text.utf8)
        guard let before = wholeBytes else {
            return try output.writeAll(bytes, name: name)
        }
        do throws(OutputError) {
            try output.writeAll(bytes, name: name)
            guard uninterrupted({ fdatasync(output.raw) }) == 0 else {
                throw OutputError("fdatasync", errno, on: name)
            }
        } catch {
            throw output.cut(to: before, after: error)
        }
        wholeBytes = before + off_t(bytes.count)
    }
}

extension FileDescriptor {
    /// Opens `path` for writing, with more `flags`.
    public static func openOutput(_ path: String, _ flags: Int32) throws(OutputError)
        -> FileDescriptor
    {
        let number = uninterrupted { open(path, O_WRONLY | O_CLOEXEC | flags, 0o666) }
        guard number >= 0 else { throw OutputError("open", errno, on: path) }
        return FileDescriptor(owning: number)
    }

    /// Leaves the first `count` bytes, which are whole rows, once writing more has failed. What to tell: that, and
    /// where the rest cannot be cut off that the file ends in part of a row.
    borrowing func cut(to count: off_t, after error: OutputError) -> OutputError {
        guard uninterrupted({ ftruncate(raw, count) }) == 0 else { return error.leavingPartOfARow }
        lseek(raw, count, SEEK_SET)
        return error
    }

    /// Writes all of `bytes`, in one call unless the kernel takes only a part.
    public borrowing func writeAll(_ bytes: [UInt8], name: String) throws(OutputError) {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(raw, $0.baseAddress! + done, bytes.count - done)
            }
            if count >= 0 {
                done += count
            } else if errno != EINTR {
                throw OutputError("write", errno, on: name)
            }
        }
    }
}
