import Glibc

/// A packet socket that carries plain data, one message a packet: set-up and end of turns, never a DMA.
public struct ControlChannel: ~Copyable, Sendable {
    private let socket: FileDescriptor

    public init(_ socket: consuming FileDescriptor) { self.socket = socket }

    public var descriptor: Int32 { socket.raw }

    /// Sends `message`, and `text` behind it.
    public func send<Message: BitwiseCopyable>(
        _ message: Message, text: String = ""
    ) throws(SystemError) {
        var bytes = withUnsafeBytes(of: message) { Array($0) }
        bytes += Array(text.utf8.prefix(Self.textLimit))
        let sent = uninterrupted {
            Glibc.send(socket.raw, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        }
        try checkErrno(sent, "send", on: "control socket")
    }

    /// The same; false where the other side has hung up in the meantime: it knows why.
    public func answer<Message: BitwiseCopyable>(
        _ message: Message, text: String
    ) throws(SystemError) -> Bool {
        do throws(SystemError) {
            try send(message, text: text)
            return true
        } catch {
            guard error.isHangUp else { throw error }
            return false
        }
    }

    /// The next message and its text; nil where the other side has gone.
    public func receive<Message: BitwiseCopyable>(
        _ type: Message.Type
    ) throws(SystemError) -> (message: Message, text: String)? {
        let size = MemoryLayout<Message>.size
        var bytes = [UInt8](repeating: 0, count: size + Self.textLimit)
        func take() -> Int { uninterrupted { recv(socket.raw, &bytes, bytes.count, 0) } }
        var received = take()
        // Whoever has gone without reading all of ours: the kernel says that first (net/unix/af_unix.c, unix_release_sock),
        // and what it said before is still there.
        if received == -1, errno == ECONNRESET { received = take() }
        if received == 0 || (received == -1 && errno == ECONNRESET) { return nil }
        try checkErrno(received, "recv", on: "control socket")
        guard received >= size else {
            throw SystemError(
                "recv", code: EPROTO, on: "\(received) bytes of \(size) on the control socket")
        }
        let message = bytes.withUnsafeBytes { $0.loadUnaligned(as: Message.self) }
        return (message, String(decoding: bytes[size..<received], as: UTF8.self))
    }

    /// Ends the conversation: the other side reads that we have gone.
    public func hangUp() { socket.hangUp() }

    private static let textLimit = 512
}
