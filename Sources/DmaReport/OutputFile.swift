import DmaLinux
import Glibc

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

    /// Whether a path, or a link that it names, is a descriptor of a process, such as /dev/stdout and /proc/self/fd/3:
    /// what is behind that has its name elsewhere, or none, and no other file lies beside it.
    static func isDescriptor(_ path: String) -> Bool {
        var path = path
        // As many links as the kernel follows (path_resolution(7)).
        for _ in 0..<40 {
            let parts = path.split(separator: "/", omittingEmptySubsequences: false)
            let above = parts.dropLast().joined(separator: "/")
            guard let last = parts.last,
                let resolved = realpath(parts.count == 1 ? "." : above + "/", nil)
            else { return false }
            defer { free(resolved) }
            let directory = String(cString: resolved)
            if directory.hasPrefix("/proc/") { return true }
            path = "\(directory)/\(last)"
            guard let target = linkTarget(path) else { return false }
            path = target.hasPrefix("/") ? target : "\(directory)/\(target)"
        }
        return false
    }

    /// Nil of what is no link.
    private static func linkTarget(_ path: String) -> String? {
        let target = [UInt8](unsafeUninitializedCapacity: Int(PATH_MAX)) { buffer, count in
            count = buffer.withMemoryRebound(to: CChar.self) {
                max(0, readlink(path, $0.baseAddress!, $0.count))
            }
        }
        return target.isEmpty ? nil : String(decoding: target, as: UTF8.self)
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
