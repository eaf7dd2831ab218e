import Glibc

/// Plain data over a packet socket, one message a packet, nothing allocated: for calls whose time matters.
public enum PacketSocket {
    /// Sends `message`; false where the other side has gone.
    public static func send<Message: BitwiseCopyable>(_ message: Message, to socket: Int32) -> Bool
    {
        withUnsafeBytes(of: message) {
            Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) == $0.count
        }
    }

    /// Waits for a message and puts it in place; false where the other side has gone, or sent another size.
    public static func receive<Message: BitwiseCopyable>(
        _ message: inout Message, from socket: Int32
    ) -> Bool {
        withUnsafeMutableBytes(of: &message) {
            var count: Int
            repeat {
                count = recv(socket, $0.baseAddress, $0.count, 0)
            } while count == -1 && errno == EINTR
            return count == $0.count
        }
    }
}
