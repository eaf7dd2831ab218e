import Linux

/// The text files of /proc and /sys, in which the kernel says what the machine has.
///
/// Each answer is nil where the file or the entry is missing, as on other kernels and in containers.
struct KernelFiles: Sendable {
    /// Stands before every path: empty on the machine itself, a directory in a test.
    let root: String

    static let machine = KernelFiles(root: "")

    func text(_ path: String) -> String? { readSmallFile(root + path) }

    func lines(_ path: String) -> [Substring] {
        text(path)?.split(separator: "\n") ?? []
    }

    /// A file that holds one number.
    func number(_ path: String) -> UInt64? {
        text(path)?.split(whereSeparator: \.isWhitespace).first.flatMap { UInt64($0) }
    }

    /// The number that follows `word` on its line, as in `MemAvailable:  1024 kB`.
    func number(after word: String, in path: String) -> UInt64? {
        for line in lines(path) {
            let words = line.split(separator: " ")
            if let index = words.firstIndex(where: { $0 == word }), index + 1 < words.count {
                return UInt64(words[index + 1])
            }
        }
        return nil
    }

    /// The same where the number counts KiB, in bytes.
    func bytes(after word: String, in path: String) -> UInt64? {
        number(after: word, in: path).map { $0.multipliedReportingOverflow(by: 1024) }
            .flatMap { $0.overflow ? nil : $0.partialValue }
    }

    /// The word in brackets of a switch such as `always [advise] never`.
    func choice(_ path: String) -> String? {
        text(path)?.split(whereSeparator: \.isWhitespace)
            .first { $0.first == "[" && $0.last == "]" }
            .map { String($0.dropFirst().dropLast()) }
    }
}
