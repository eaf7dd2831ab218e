import DmaLinux

/// A message of the front-end, whole.
public struct Message: ~Copyable, Sendable {
    public let request: Request
    public let needsReply: Bool
    let isReply: Bool
    var descriptors: ReceivedDescriptors

    public init(
        _ request: Request, needsReply: Bool = false, isReply: Bool = false,
        descriptors: consuming ReceivedDescriptors = ReceivedDescriptors()
    ) {
        self.request = request
        self.needsReply = needsReply
        self.isReply = isReply
        self.descriptors = descriptors
    }
}

/// A front-end's socket, message by message, without waiting.
///
/// No more is read than belongs to the message at hand, so that each has the descriptors that were sent with it.
public struct Connection: ~Copyable, Sendable {
    private let socket: StreamSocket
    private var header: MessageHeader?
    private var bytes: [UInt8] = []
    private var descriptors = ReceivedDescriptors()

    public init(_ socket: consuming StreamSocket) { self.socket = socket }

    /// For waiting until there is something to receive.
    public var descriptor: Int32 { socket.descriptor.raw }

    /// What one look at the socket brought.
    public enum Received: ~Copyable {
        case message(Message)
        /// Nothing yet, or only a part.
        case nothing
        /// The front-end has gone, after a whole message.
        case end
    }

    /// The next message. After an error the connection can only be closed.
    public mutating func receive() throws(ProtocolError) -> Received {
        while true {
            let wanted = MessageHeader.byteCount + Int(header?.payloadByteCount ?? 0)
            if bytes.count < wanted {
                switch try fill(to: wanted) {
                case .bytes: continue
                case .nothing: return .nothing
                case .end where bytes.isEmpty: return .end
                case .end: throw .cutOff(bytes.count, of: wanted)
                }
            }
            guard let header else {
                header = try MessageHeader(decoding: bytes)
                continue
            }
            return .message(try take(header))
        }
    }

    private mutating func fill(to wanted: Int) throws(ProtocolError) -> StreamSocket.Received {
        let missing = wanted - bytes.count
        let socket = socket.descriptor.raw
        var failure: SystemError?
        var received = StreamSocket.Received.nothing
        bytes += [UInt8](unsafeUninitializedCapacity: missing) { buffer, count in
            do throws(SystemError) {
                received = try StreamSocket.receive(
                    from: socket, into: UnsafeMutableRawBufferPointer(buffer),
                    descriptors: &descriptors)
                if case .bytes(let number) = received { count = number }
            } catch { failure = error }
        }
        if let failure { throw .system(failure) }
        return received
    }

    private mutating func take(_ header: MessageHeader) throws(ProtocolError) -> Message {
        let payload = Array(bytes[MessageHeader.byteCount...])
        self.header = nil
        bytes = []
        var mine = ReceivedDescriptors()
        swap(&mine, &descriptors)
        return Message(
            try Request(header.code, payload: payload), needsReply: header.needsReply,
            isReply: header.isReply, descriptors: mine)
    }

    /// Sends a reply. A front-end that has no room for it does not read what it asks for.
    public borrowing func send(_ reply: Reply) throws(ProtocolError) {
        let isSent = try refused { () throws(SystemError) in
            try socket.send(reply.bytes, descriptors: reply.descriptors)
        }
        guard isSent else { throw .readsNothing }
    }
}
