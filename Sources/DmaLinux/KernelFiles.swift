/// The text files of /proc and /sys, in which the kernel says what the machine has.
///
/// Each answer is nil where the file or the entry is missing, as on other kernels and in containers.
package struct KernelFiles: Sendable {
    /// Stands before every path: empty on the machine itself, a directory in a test.
    package let root: String

    package static let machine = KernelFiles(root: "")

    /// Where the files lie.
    package enum Mount: String, CaseIterable, Sendable {
        case proc = "/proc"
        case sys = "/sys"

        package var absence: String { "\(rawValue) is not mounted" }
        package var advice: String {
            switch self {
            case .proc: "mount -t proc proc /proc"
            case .sys: "mount -t sysfs sysfs /sys"
            }
        }
    }

    package init(root: String) { self.root = root }

    /// Whether anything is there. Whoever misses a file asks this before saying what the kernel lacks.
    package func isMounted(_ mount: Mount) -> Bool {
        !listDirectory(root + mount.rawValue).isEmpty
    }

    /// What to do where a file below /proc cannot be opened; empty where that is not for want of /proc.
    package func adviceOnProc() -> String {
        isMounted(.proc) ? "" : "\(Mount.proc.absence): \(Mount.proc.advice)"
    }

    /// The first `limit` bytes of a file.
    package func text(_ path: String, limit: Int = 1 << 16) -> String? {
        readSmallFile(root + path, limit: limit)
    }

    package func lines(_ path: String) -> [Substring] {
        text(path)?.split(separator: "\n") ?? []
    }

    /// A file that holds one number.
    package func number(_ path: String) -> UInt64? {
        text(path)?.split(whereSeparator: \.isWhitespace).first.flatMap { UInt64($0) }
    }

    /// The number that follows `word` on its line, as in `MemAvailable:  1024 kB`.
    package func number(after word: String, in path: String) -> UInt64? {
        for line in lines(path) {
            let words = line.split(separator: " ")
            if let index = words.firstIndex(where: { $0 == word }), index + 1 < words.count {
                return UInt64(words[index + 1])
            }
        }
        return nil
    }

    /// The same where the number counts KiB, in bytes.
    package func bytes(after word: String, in path: String) -> UInt64? {
        number(after: word, in: path).map { $0.multipliedReportingOverflow(by: 1024) }
            .flatMap { $0.overflow ? nil : $0.partialValue }
    }

    /// The word in brackets of a switch such as `always [advise] never`.
    package func choice(_ path: String) -> String? {
        text(path)?.split(whereSeparator: \.isWhitespace)
            .first { $0.first == "[" && $0.last == "]" }
            .map { String($0.dropFirst().dropLast()) }
    }
}
