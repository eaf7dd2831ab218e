import DmaLinux
import Glibc
import Testing

/// The text of a file; empty where it cannot be read.
func readFile(_ path: String) -> String {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return "" }
    defer { close(file) }
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = read(file, &part, part.count)
        guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
        bytes += part[..<count]
    }
}

func writeFile(_ path: String, _ text: String) throws {
    let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    try #require(file >= 0, "\(path) cannot be written")
    defer { close(file) }
    try #require(write(file, text, text.utf8.count) == text.utf8.count)
}

func readLink(_ path: String) -> String? {
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = bytes.withUnsafeMutableBytes {
        readlink(path, $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
    }
    return count < 0 ? nil : String(decoding: bytes[..<count], as: UTF8.self)
}

/// The names in a directory, sorted; empty where it cannot be read.
func names(in directory: String) -> [String] {
    guard let stream = opendir(directory) else { return [] }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
        let name = withUnsafeBytes(of: &entry.pointee.d_name) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
}

/// A directory of a test's own, which goes with its object.
final class TemporaryDirectory {
    let path: String

    init() throws {
        var template = Array("/tmp/dma-bench-test-XXXXXX".utf8CString)
        path = String(cString: try #require(mkdtemp(&template)))
    }

    deinit {
        for name in names { unlink(file(name)) }
        rmdir(path)
    }

    var names: [String] { EndToEndTests.names(in: path) }

    func file(_ name: String) -> String { path + "/" + name }
}

/// The expected texts in Tests/EndToEnd/Golden.
///
/// After a change that is meant, `UPDATE_GOLDEN=1 swift test --filter EndToEnd` writes them anew; the difference
/// belongs into the same commit.
enum Golden {
    static let isUpdating = getenv("UPDATE_GOLDEN") != nil

    private static func path(_ name: String) -> String {
        let directory = #filePath.split(separator: "/").dropLast().joined(separator: "/")
        return "/" + directory + "/Golden/" + name
    }

    /// What a test gives the program to read.
    static func read(_ name: String) -> String { readFile(path(name)) }

    static func expect(
        _ text: String, is name: String, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let path = path(name)
        if isUpdating { return try writeFile(path, text) }
        // Line by line, so that a failure shows the lines that differ.
        #expect(lines(text) == lines(readFile(path)), sourceLocation: sourceLocation)
    }

    private static func lines(_ text: String) -> [Substring] {
        text.split(separator: "\n", omittingEmptySubsequences: false)
    }
}
