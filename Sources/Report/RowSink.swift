import Glibc
import Linux

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

    /// Where the environment belongs beside the rows; nil unless they go to a regular file.
    public let environmentPath: String?

    /// Opens and empties `path`, or takes standard output where it is nil, and writes the header.
    public init(_ format: Format, path: String? = nil) throws(OutputError) {
        if let path {
            try self.init(format, file: Self.emptied(path), path: path, rows: [])
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
            return try RowSink(format, file: emptied(path), path: path, rows: rows)
        }
        // Where a link leads to, so that it stays a link.
        let resolved = realpath(path, nil)
        defer { free(resolved) }
        let target = resolved.map { String(cString: $0) } ?? path
        let temporary = "\(target).\(getpid()).tmp"
        do throws(OutputError) {
            let sink = try RowSink(format, file: emptied(temporary), path: path, rows: rows)
            guard rename(temporary, target) == 0 else {
                throw OutputError("rename", errno, on: path)
            }
            return sink
        } catch {
            unlink(temporary)
            throw error
        }
    }

    private static func emptied(_ path: String) throws(OutputError) -> FileDescriptor {
        let number = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        guard number >= 0 else { throw OutputError("open", errno, on: path) }
        return FileDescriptor(owning: number)
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
        _ format: Format, file: consuming FileDescriptor, path: String, rows: [Row]
    ) throws(OutputError) {
        var status = stat()
        let isRegular = fstat(file.raw, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
        self.format = format
        output = file
        name = path
        wholeBytes = isRegular ? 0 : nil
        environmentPath = isRegular ? path + ".env.json" : nil
        try append(format.header + rows.map(format.line).joined())
    }

    /// Writes one row, whole; in a file it is on the disk when this returns.
    public mutating func write(_ row: Row) throws(OutputError) {
        try append(format.line(row))
    }

    private mutating func append(_ text: String) throws(OutputError) {
        let bytes = Array(text.utf8)
        guard let before = wholeBytes else {
            return try output.writeAll(bytes, name: name)
        }
        do throws(OutputError) {
            try output.writeAll(bytes, name: name)
            guard fdatasync(output.raw) == 0 else {
                throw OutputError("fdatasync", errno, on: name)
            }
        } catch {
            ftruncate(output.raw, before)
            lseek(output.raw, before, SEEK_SET)
            throw error
        }
        wholeBytes = before + off_t(bytes.count)
    }
}

extension FileDescriptor {
    /// Writes all of `bytes`, in one call unless the kernel takes only a part.
    borrowing func writeAll(_ bytes: [UInt8], name: String) throws(OutputError) {
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
