import Glibc
import Testing

@testable import GuestMemory

/// A directory that stands for /, with the files of a made-up machine.
final class FakeMachine {
    private let root: String
    private var created: [String] = []

    var files: KernelFiles { KernelFiles(root: root) }

    init(_ contents: [String: String]) throws {
        var template = Array("/tmp/dma-bench-machine-XXXXXX".utf8CString)
        root = String(cString: try #require(mkdtemp(&template)))
        for (path, text) in contents {
            var directory = root
            for name in path.split(separator: "/").dropLast() {
                directory += "/" + name
                if mkdir(directory, 0o700) == 0 { created.append(directory) }
            }
            try #require(writeFile(root + path, text))
            created.append(root + path)
        }
    }

    deinit {
        for path in created.reversed() { remove(path) }
        remove(root)
    }
}

@discardableResult
func writeFile(_ path: String, _ text: String) -> Bool {
    let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard file >= 0 else { return false }
    defer { close(file) }
    return write(file, text, text.utf8.count) == text.utf8.count
}

/// The switches of this machine that some tests need set; each test puts back what it found.
enum Machine {
    static let hugePages = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
    static let shmemHuge = "/sys/kernel/mm/transparent_hugepage/shmem_enabled"

    static func canSet(_ path: String) -> Bool { access(path, W_OK) == 0 }

    /// Runs `body` while the pool of 2 MiB pages holds `count` more; false where the kernel cannot find them.
    static func withHugePages(_ count: UInt64, _ body: () throws -> Void) throws -> Bool {
        let before = try #require(KernelFiles.machine.number(hugePages))
        defer { writeFile(hugePages, "\(before)") }
        writeFile(hugePages, "\(before + count)")
        guard KernelFiles.machine.number(hugePages) == before + count else { return false }
        try body()
        return true
    }

    static func withShmemHuge(_ choice: String, _ body: () throws -> Void) throws {
        let before = try #require(KernelFiles.machine.choice(shmemHuge))
        defer { writeFile(shmemHuge, before) }
        try #require(writeFile(shmemHuge, choice))
        try body()
    }
}
