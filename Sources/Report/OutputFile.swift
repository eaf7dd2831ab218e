import Glibc
import Linux

/// Files that are written whole or not at all.
public enum OutputFile {
    /// Replaces `path` in one step: a reader sees the old file or the new one. What is there and is no regular file,
    /// such as a pipe, is written to.
    public static func replace(_ path: String, with bytes: [UInt8]) throws(OutputError) {
        var status = stat()
        guard stat(path, &status) != 0 || status.st_mode & S_IFMT == S_IFREG else {
            return try FileDescriptor.openOutput(path, 0).writeAll(bytes, name: path)
        }
        let temporary = "\(path).\(getpid()).tmp"
        let file = try FileDescriptor.openOutput(temporary, O_CREAT | O_TRUNC)
        do throws(OutputError) {
            try file.writeAll(bytes, name: temporary)
            guard uninterrupted({ fsync(file.raw) }) == 0 else {
                throw OutputError("fsync", errno, on: temporary)
            }
            guard rename(temporary, path) == 0 else { throw OutputError("rename", errno, on: path) }
        } catch {
            unlink(temporary)
            throw error
        }
    }

    /// Makes the directory, and those that it lies in, where they are not there yet.
    public static func makeDirectory(_ path: String) throws(OutputError) {
        let parts = path.split(separator: "/")
        var prefix = path.hasPrefix("/") ? "" : "."
        for part in parts {
            prefix += "/" + part
            guard mkdir(prefix, 0o777) == 0 || errno == EEXIST || errno == EROFS else {
                throw OutputError("mkdir", errno, on: prefix)
            }
        }
    }
}
