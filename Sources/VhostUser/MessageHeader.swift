/// What stands before each message (vhost-user.rst, "Header"): three words of 32 bits in the machine's byte order.
public struct MessageHeader: Hashable, Sendable {
    public static let byteCount = 12
    /// The longest payload that this back-end takes. The longest that means anything is a table of `MemoryTable`'s
    /// regions, as many as there can be descriptors.
    public static let payloadLimit: UInt32 = 4096

    private static let version: UInt32 = 1
    private static let versionMask: UInt32 = 3
    private static let replyFlag: UInt32 = 1 << 2
    private static let needReplyFlag: UInt32 = 1 << 3

    public let code: RequestCode
    public let isReply: Bool
    /// Whether the sender waits for an answer, once REPLY_ACK is acknowledged.
    public let needsReply: Bool
    public let payloadByteCount: UInt32

    public init(
        _ code: RequestCode, isReply: Bool = false, needsReply: Bool = false,
        payloadByteCount: Int
    ) {
        self.code = code
        self.isReply = isReply
        self.needsReply = needsReply
        self.payloadByteCount = UInt32(payloadByteCount)
    }

    /// The header in the first 12 of `bytes`; flags that mean nothing are passed over.
    public init(decoding bytes: [UInt8]) throws(ProtocolError) {
        var reader = PayloadReader(bytes)
        let (number, flags): (UInt32, UInt32) = (reader.word(), reader.word())
        payloadByteCount = reader.word()
        guard flags & Self.versionMask == Self.version else {
            throw .version(flags & Self.versionMask)
        }
        guard let code = RequestCode(rawValue: number) else { throw .unknownRequest(number) }
        guard payloadByteCount <= Self.payloadLimit else {
            throw .payloadTooLong(code, payloadByteCount)
        }
        self.code = code
        isReply = flags & Self.replyFlag != 0
        needsReply = flags & Self.needReplyFlag != 0
    }

    public var bytes: [UInt8] {
        var writer = PayloadWriter()
        writer.put(code.rawValue)
        writer.put(
            Self.version | (isReply ? Self.replyFlag : 0) | (needsReply ? Self.needReplyFlag : 0))
        writer.put(payloadByteCount)
        return writer.bytes
    }
}

/// Takes words of the machine's byte order off a payload whose length was checked before.
struct PayloadReader {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func word<Word: FixedWidthInteger & BitwiseCopyable>(
        _: Word.Type = Word.self
    ) -> Word {
        let size = MemoryLayout<Word>.size
        precondition(
            position + size <= bytes.count,
            "a payload of \(bytes.count) bytes, read from \(position)")
        defer { position += size }
        return bytes.withUnsafeBytes {
            $0.loadUnaligned(fromByteOffset: position, as: Word.self)
        }
    }

    var rest: [UInt8] { Array(bytes[position...]) }
}

/// Puts words of the machine's byte order behind one another.
struct PayloadWriter {
    private(set) var bytes: [UInt8] = []

    mutating func put(_ word: some FixedWidthInteger & BitwiseCopyable) {
        withUnsafeBytes(of: word) { bytes += $0 }
    }

    mutating func put(_ more: [UInt8]) { bytes += more }
}
