import DmaLinux

/// A file, kept by the front-end, of the requests that a back-end has fetched and not finished, so that the back-end's
/// successor can do them (vhost-user.rst, "Inflight I/O tracking"): one `InflightQueue` for each queue.
///
/// Queues begin at multiples of 64 bytes, as in QEMU's own library (contrib/libvhost-user, INFLIGHT_ALIGNMENT).
public final class InflightLog: Sendable {
    public let queueCount: Int
    public let queueSize: Int
    private let mapping: SharedMapping
    private let offset: Int

    /// Bytes for so many queues of so many entries.
    public static func byteCount(queueCount: Int, queueSize: Int) -> Int {
        queueCount * stride(queueSize)
    }

    private static func stride(_ queueSize: Int) -> Int {
        (InflightQueue.byteCount(queueSize) + 63) / 64 * 64
    }

    /// A new file for the front-end to keep: zeroes, which say that nothing was ever fetched.
    static func create(queueCount: Int, queueSize: Int) throws(SystemError) -> SharedMapping {
        try SharedMapping.create(
            name: "inflight",
            byteCount: byteCount(queueCount: queueCount, queueSize: queueSize))
    }

    /// What the front-end kept. Numbers of queues and entries were checked before.
    init(
        _ given: InflightDescription, descriptor: consuming FileDescriptor
    ) throws(ProtocolError) {
        let (queueCount, queueSize) = (Int(given.queueCount), Int(given.queueSize))
        let needed = Self.byteCount(queueCount: queueCount, queueSize: queueSize)
        guard given.byteCount >= UInt64(needed), given.offset % 64 == 0 else {
            throw .inflight(.place(given, needed: needed))
        }
        let file = descriptor
        let fileByteCount = try refused { () throws(SystemError) in try file.byteCount }
        guard let end = MemoryRegion.end(of: given.offset, UInt64(needed)),
            end <= UInt64(fileByteCount)
        else { throw .inflight(.longerThanFile(given, fileByteCount)) }
        do throws(SystemError) {
            mapping = try SharedMapping(mapping: file, byteCount: Int(end), name: "inflight")
        } catch { throw .system(error) }
        self.queueCount = queueCount
        self.queueSize = queueSize
        offset = Int(given.offset)
    }

    /// The part of one queue, below `queueCount`. One alone may be used at a time.
    public func queue(_ index: Int) -> InflightQueue {
        precondition(index < queueCount, "queue \(index) of a log of \(queueCount)")
        return InflightQueue(
            mapping, at: offset + index * Self.stride(queueSize), size: queueSize)
    }
}

/// What is wrong with a log of requests under way.
public enum InflightFault: Error, Equatable, Sendable, CustomStringConvertible {
    case queues(Int, limit: Int)
    case size(UInt32)
    case place(InflightDescription, needed: Int)
    case longerThanFile(InflightDescription, Int)
    case queueTooLarge(Int, Int)
    case version(UInt16)
    case entries(UInt16, expected: Int)
    case lastBatch(UInt16, of: Int)

    public var description: String {
        switch self {
        case .queues(let count, let limit):
            "a log of requests under way for \(count) queues, of which there are \(limit)"
        case .size(let size):
            "a log of requests under way for queues of \(size) entries: 1 to \(Queue.sizeLimit)"
        case .place(let given, let needed):
            "a log of requests under way of \(given.byteCount) bytes from byte \(given.offset): it takes \(needed), "
                + "from a multiple of 64"
        case .longerThanFile(let given, let count):
            "a log of requests under way from byte \(given.offset) of a file of \(count)"
        case .queueTooLarge(let index, let size):
            "queue \(index) of \(size) entries has no place in the log of requests under way (SET_INFLIGHT_FD)"
        case .version(let version):
            "a log of requests under way of version \(version), of which only 1 is known"
        case .entries(let count, let expected):
            "a log of requests under way that has \(count) entries and not \(expected)"
        case .lastBatch(let count, let size):
            "a log of requests under way whose last batch had \(count) requests, of \(size): it belongs to another queue"
        }
    }
}
