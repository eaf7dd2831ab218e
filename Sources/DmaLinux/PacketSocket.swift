import Glibc

/// Plain data over a packet socket, one message a packet, nothing allocated: for calls whose time matters.
///
/// That the other side has gone is an answer. What else the kernel says is an error: the conversation cannot go on.
public enum PacketSocket {
    /// Sends `message`; false where the other side has gone.
    public static func send<Message: BitwiseCopyable>(
        _ message: Message, to socket: Int32
    ) throws(SystemError) -> Bool {
        try withUnsafeBytes(of: message) { bytes throws(SystemError) in try send(bytes, to: socket)
        }
    }

    /// The same for a packet of any length.
    public static func send(
        _ bytes: UnsafeRawBufferPointer, to socket: Int32
    ) throws(SystemError) -> Bool {
        let sent = uninterrupted {
            Glibc.send(socket, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
        }
        if sent < 0, hasGone { return false }
        return try checkErrno(sent, "send", on: "packet socket") == bytes.count
    }

    /// Waits for a message and puts it in place; false where the other side has gone, or sent another size.
    public static func receive<Message: BitwiseCopyable>(
        _ message: inout Message, from socket: Int32
    ) throws(SystemError) -> Bool {
        let length = try withUnsafeMutableBytes(of: &message) { bytes throws(SystemError) in
            try receive(into: bytes, from: socket)
        }
        return length == MemoryLayout<Message>.size
    }

    /// Waits for a packet, of which as much as there is room for is put in place: its length; nil where the other side has
    /// gone.
    public static func receive(
        into bytes: UnsafeMutableRawBufferPointer, from socket: Int32
    ) throws(SystemError) -> Int? {
        let received = uninterrupted { recv(socket, bytes.baseAddress, bytes.count, 0) }
        if received == 0 || (received < 0 && hasGone) { return nil }
        return try checkErrno(received, "recv", on: "packet socket")
    }

    private static var hasGone: Bool { errno == EPIPE || errno == ECONNRESET }
}
