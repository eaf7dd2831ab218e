import DmaLinux

/// What follows from a request: first `effect` is carried out, then `reply` is sent.
public struct Answer: Sendable {
    public let effect: Effect
    /// Nil where the front-end waits for nothing, or where `effect` is `stopQueues` and the reply still to come.
    public let reply: Reply?
}

/// What the device has to do because of a request. The back-end has the new state already.
public enum Effect: Equatable, Sendable {
    case none
    /// Guest memory is another: take `Backend.memory` and all `Backend.queues` anew, and be through with the old one
    /// before the reply: the front-end then gives away what is no longer in it.
    case memoryChanged
    /// Find out where to begin (`ResumePoint`); fetch whenever `Backend.mayServe`.
    case queueStarted(Int)
    /// Other descriptors, enabled or not, logged or not.
    case queueChanged(Int)
    /// Fetch nothing more from these, and complete what is under way, since the guest may go on at another host without
    /// the log; then `Backend.queuesStopped`.
    case stopQueues([Int])
    /// Other features or another log: `mayServe` may have changed for all queues.
    case featuresChanged
    case dirtyLogChanged
    case inflightChanged
    case statusChanged(UInt8)
    /// Nothing has changed: the front-end asked for what cannot be, and was told so. The connection goes on.
    case denied(String)
}

/// A message to the front-end.
public struct Reply: Sendable {
    public let bytes: [UInt8]
    /// What the front-end is to map; kept until it is sent.
    private let memory: SharedMapping?

    init(to code: RequestCode, payload: [UInt8], memory: SharedMapping? = nil) {
        bytes =
            MessageHeader(code, isReply: true, payloadByteCount: payload.count).bytes + payload
        self.memory = memory
    }

    init(to code: RequestCode, _ word: UInt64) {
        var writer = PayloadWriter()
        writer.put(word)
        self.init(to: code, payload: writer.bytes)
    }

    /// The descriptors that go with it; open as long as the reply is there.
    public var descriptors: [Int32] { memory.map { [$0.fileDescriptor] } ?? [] }
}
