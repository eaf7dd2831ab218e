import Glibc

/// Plain data over a packet socket, one message a packet, nothing allocated: for calls whose time matters.
///
/// That the other side has gone is an answer. What else the kernel says is an error: the conversation cannot go on.
public enum PacketSocket {
    /// Sends `message`; false where the other side has gone.
    public static func send<Message: BitwiseCopyable>(
        _ message: Message, to socket: Int32
    ) throws(SystemError) -> Bool {
        let sent = withUnsafeBytes(of: message) { bytes in
            uninterrupted {
                Glibc.send(socket, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
            }
        }
        if sent < 0, hasGone { return false }
        return try checkErrno(sent, "send", on: "packet socket") == MemoryLayout<Message>.size
    }

    /// Waits for a message and puts it in place; false where the other side has gone, or sent another size.
    public static func receive<Message: BitwiseCopyable>(
        _ message: inout Message, from socket: Int32
    ) throws(SystemError) -> Bool {
        let received = withUnsafeMutableBytes(of: &message) { bytes in
            uninterrupted { recv(socket, bytes.baseAddress, bytes.count, 0) }
        }
        if received < 0, hasGone { return false }
        return try checkErrno(received, "recv", on: "packet socket") == MemoryLayout<Message>.size
    }

    private static var hasGone: Bool { errno == EPIPE || errno == ECONNRESET }
}
