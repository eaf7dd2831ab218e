import DmaLinux
import Glibc

/// Why output could not be written.
public enum OutputError: Error, Equatable, CustomStringConvertible {
    /// Whoever read the output has ended (EPIPE), as `head` does: no fault of the run's.
    case readerGone(String)
    case failed(SystemError)

    /// One line that ends with what to do next.
    public var description: String {
        switch self {
        case .readerGone(let name):
            "\(name): its reader has ended; use -o FILE to keep all rows"
        case .failed(let error): error.description
        }
    }

    init(_ call: String, _ code: Int32, on name: String) {
        guard code != EPIPE else {
            self = .readerGone(name)
            return
        }
        self = .failed(
            SystemError(call, code: code, on: Text.printable(name), advice: Self.advice(code)))
    }

    /// The same error of a file that could not be cut back to whole rows either.
    var leavingPartOfARow: OutputError {
        guard case .failed(let error) = self else { return self }
        return .failed(
            SystemError(
                error.call, code: error.code, on: error.subject,
                advice: "it may end in part of a row, which cannot be cut off; " + error.advice))
    }

    private static func advice(_ code: Int32) -> String {
        switch code {
        case ENOSPC, EDQUOT: "free some space there or write elsewhere with -o FILE"
        case EFBIG: "raise the limit on file size (ulimit -f)"
        case ENOENT, ENOTDIR: "create the directory first"
        case EISDIR: "name a file, not a directory"
        case EACCES, EPERM, EROFS: "choose a place you may write to with -o FILE"
        case EBADF: "leave standard output open or use -o FILE"
        default: "write elsewhere with -o FILE"
        }
    }
}
