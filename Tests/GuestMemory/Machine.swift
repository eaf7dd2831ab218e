import DmaLinux
import Glibc
import Testing

@discardableResult
func writeFile(_ path: String, _ text: String) -> Bool {
    let file = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC)
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
