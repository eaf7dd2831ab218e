import CLinux
import Glibc

/// A unix stream socket with a name in the file system, to which others connect (unix(7)).
///
/// The name goes with its owner, who has to be the process that made it.
public struct StreamListener: ~Copyable, Sendable {
    public let descriptor: FileDescriptor
    public let path: String

    private init(_ descriptor: consuming FileDescriptor, named path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    deinit { unlink(path) }

    /// The longest name there is, in bytes, without the zero behind it.
    public static var pathLimit: Int { MemoryLayout.size(ofValue: sockaddr_un().sun_path) - 1 }

    /// Makes a socket at a path where nothing is, and listens: one connection waits while another is served.
    public static func listen(at path: String) throws(SystemError) -> StreamListener {
        let descriptor = try makeSocket(path)
        try descriptor.makeNonblocking()
        let number = descriptor.raw
        let bound = try withAddress(path, "bind") { Glibc.bind(number, $0, $1) }
        if bound != 0 {
            let code = errno
            throw SystemError(
                "bind", code: code, on: path,
                advice: code == EADDRINUSE
                    ? "somebody listens there, or did: name another path, or remove this one" : "")
        }
        let listener = StreamListener(descriptor, named: path)
        try checkErrno(Glibc.listen(number, 1), "listen", on: path)
        return listener
    }

    /// The next connection; nil where nobody has come by then, or a signal has.
    public borrowing func accept(milliseconds: UInt64) throws(SystemError) -> StreamSocket? {
        guard try FileDescriptor.readable([descriptor.raw], milliseconds: milliseconds) != 0 else {
            return nil
        }
        let number = clinux_accept(descriptor.raw)
        // Who came has gone again, or somebody else has served him.
        if number == -ECONNABORTED || number == -EAGAIN { return nil }
        return StreamSocket(FileDescriptor(owning: try check(number, "accept", on: path)))
    }

    /// Connects to the socket at `path`, as a client.
    public static func connect(to path: String) throws(SystemError) -> StreamSocket {
        let descriptor = try makeSocket(path)
        let number = descriptor.raw
        let connected = try withAddress(path, "connect") { address, length in
            uninterrupted { Glibc.connect(number, address, length) }
        }
        try checkErrno(connected, "connect", on: path)
        return StreamSocket(descriptor)
    }

    private static func makeSocket(_ path: String) throws(SystemError) -> FileDescriptor {
        let number = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        return FileDescriptor(owning: try checkErrno(number, "socket", on: path))
    }

    private static func withAddress(
        _ path: String, _ call: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) throws(SystemError) -> Int32 {
        let bytes = Array(path.utf8)
        guard !bytes.isEmpty, bytes.count <= pathLimit, !bytes.contains(0) else {
            throw SystemError(
                call, code: bytes.count > pathLimit ? ENAMETOOLONG : EINVAL, on: path,
                advice: "name a socket by 1 to \(pathLimit) bytes, in a directory such as /tmp")
        }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}
