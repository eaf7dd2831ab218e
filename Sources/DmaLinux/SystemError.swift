import CLinux
import Glibc

/// A system call that failed: which, with what `errno`, on what, and what to do next.
public struct SystemError: Error, Equatable, CustomStringConvertible {
    public let call: String
    public let code: Int32
    public let subject: String
    public let advice: String

    public init(_ call: String, code: Int32, on subject: String = "", advice: String = "") {
        self.call = call
        self.code = code
        self.subject = subject
        self.advice = advice
    }

    public var description: String { advice.isEmpty ? reason : "\(reason); \(advice)" }

    /// What went wrong, without what to do.
    public var reason: String {
        "\(call)\(subject.isEmpty ? "" : " (\(subject))"): \(Self.message(code))"
    }

    /// Whether it says that the other end of a socket has gone.
    public var isHangUp: Bool { code == EPIPE || code == ECONNRESET }

    /// The C library's text for an error number.
    public static func message(_ code: Int32) -> String { String(cString: strerror(code)) }
}

/// Turns the `-errno` convention of `CLinux` into a typed error.
@discardableResult
public func check<Result: SignedInteger>(
    _ result: Result, _ call: String, on subject: @autoclosure () -> String = "",
    advice: @autoclosure () -> String = ""
) throws(SystemError) -> Result {
    if result < 0 {
        throw SystemError(call, code: Int32(-result), on: subject(), advice: advice())
    }
    return result
}

/// The same for libc's own convention: -1, and `errno`.
@discardableResult
public func checkErrno<Result: SignedInteger>(
    _ result: Result, _ call: String, on subject: @autoclosure () -> String = ""
) throws(SystemError) -> Result {
    if result == -1 { throw SystemError(call, code: errno, on: subject()) }
    return result
}

/// Makes a call of libc's again for as long as a signal comes in its way (EINTR).
public func uninterrupted<Result: SignedInteger>(_ call: () -> Result) -> Result {
    var result: Result
    repeat { result = call() } while result == -1 && errno == EINTR
    return result
}
