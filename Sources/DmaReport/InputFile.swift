import DmaLinux
import Glibc

/// The bytes of a file that somebody named.
public enum InputFile {
    /// All of `path`; `-` is standard input. Refuses more than `limit` bytes, so that a device or a wrong name does
    /// not fill memory.
    public static func read(_ path: String, limit: Int) throws(InputError) -> [UInt8] {
        func fail() -> InputError {
            InputError(path, "\(SystemError.message(errno)); name a file that can be read")
        }
        let number =
            path == "-"
            ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
            : uninterrupted { open(path, O_RDONLY | O_CLOEXEC) }
        guard number >= 0 else { throw fail() }
        let file = FileDescriptor(owning: number)
        var bytes: [UInt8] = []
        while bytes.count <= limit {
            let wanted = min(1 << 20, limit + 1 - bytes.count)
            var got = 0
            bytes.append(
                contentsOf: [UInt8](unsafeUninitializedCapacity: wanted) { buffer, count in
                    got = uninterrupted { Glibc.read(file.raw, buffer.baseAddress!, wanted) }
                    count = max(0, got)
                })
            if got == 0 { return bytes }
            if got < 0 { throw fail() }
        }
        throw InputError(path, "larger than \(Human.size(bytes: UInt64(limit))); name another file")
    }
}
