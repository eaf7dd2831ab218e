import CLinux
import Glibc

/// One end of a connected unix stream, over which bytes and descriptors go without waiting (unix(7), SCM_RIGHTS).
///
/// A stream keeps no borders between messages, but it keeps descriptors beside the first byte that was sent with them:
/// no call reads past bytes that have descriptors of their own.
public struct StreamSocket: ~Copyable, Sendable {
    /// Descriptors that may come with the bytes of one call; Linux allows 253 (SCM_MAX_FD).
    public static let descriptorLimit = Int(CLINUX_DESCRIPTORS_MAX)

    public let descriptor: FileDescriptor

    public init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }

    /// The numbers of both ends of a new stream, each for the caller to own.
    public static func pair() throws(SystemError) -> (Int32, Int32) {
        var ends: [Int32] = [-1, -1]
        try check(clinux_stream_pair(&ends), "socketpair", of: .basic)
        return (ends[0], ends[1])
    }

    public enum Received: Equatable, Sendable {
        case bytes(Int)
        /// Nothing has arrived yet.
        case nothing
        /// The other end has gone.
        case end
    }

    /// Puts what has arrived into `buffer`, which is not empty, and adds the descriptors that came with it.
    ///
    /// Where descriptors were lost, because more came than there is room for or than this process may have, it throws
    /// EMFILE: what the message means is then unknown. Those that did arrive are in `descriptors`.
    public borrowing func receive(
        into buffer: UnsafeMutableRawBufferPointer, descriptors: inout ReceivedDescriptors
    ) throws(SystemError) -> Received {
        try Self.receive(from: descriptor.raw, into: buffer, descriptors: &descriptors)
    }

    /// The same, from the stream socket with this number.
    public static func receive(
        from number: Int32, into buffer: UnsafeMutableRawBufferPointer,
        descriptors: inout ReceivedDescriptors
    ) throws(SystemError) -> Received {
        var (count, isTruncated): (Int32, Bool) = (0, false)
        let result = withUnsafeTemporaryAllocation(of: Int32.self, capacity: descriptorLimit) {
            numbers in
            let result = clinux_receive_with_descriptors(
                number, buffer.baseAddress, buffer.count, numbers.baseAddress, &count,
                &isTruncated)
            descriptors.append(numbers.prefix(Int(count)))
            return result
        }
        if result == -Int(EAGAIN) { return .nothing }
        if result == 0 || result == -Int(ECONNRESET) { return .end }
        try check(result, "recvmsg", on: "stream socket")
        if isTruncated {
            throw SystemError(
                "recvmsg", code: EMFILE, on: "stream socket",
                advice:
                    "at most \(descriptorLimit) descriptors may come with a message, and this process "
                    + "needs room for them: ulimit -n")
        }
        return .bytes(result)
    }

    /// Sends all of `bytes`, and `descriptors` with the first of them, at once or not: false where there is no room
    /// for all, as the other end reads nothing. Then a part may have gone, and the conversation cannot go on.
    ///
    /// The descriptors stay the caller's. That the other end has gone is an error that says so (`isHangUp`).
    public borrowing func send(
        _ bytes: [UInt8], descriptors: [Int32] = []
    ) throws(SystemError) -> Bool {
        let result = clinux_send_with_descriptors(
            descriptor.raw, bytes, bytes.count, descriptors, Int32(descriptors.count))
        if result == -Int(EAGAIN) { return false }
        return try check(result, "sendmsg", on: "stream socket") == bytes.count
    }

    /// Waits until something can be read, or the other end has gone; false at the time-out, or a signal.
    public borrowing func waitReadable(milliseconds: UInt64) throws(SystemError) -> Bool {
        try FileDescriptor.readable([descriptor.raw], milliseconds: milliseconds) != 0
    }
}
