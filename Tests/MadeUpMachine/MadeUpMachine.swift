import DmaLinux
import Glibc

/// A directory that stands for /, with the files of a made-up machine; it goes with its owner.
package final class MadeUpMachine {
    private let root: String
    private var created: [String] = []

    package var files: KernelFiles { KernelFiles(root: root) }

    /// The texts, by the paths that they have on a machine.
    package init(_ contents: [String: String]) throws(SystemError) {
        var template = Array("/tmp/dma-bench-machine-XXXXXX".utf8CString)
        guard let name = mkdtemp(&template) else { throw SystemError("mkdtemp", code: errno) }
        root = String(cString: name)
        for (path, text) in contents { try set(path, to: text) }
    }

    /// Adds a file, or replaces its text.
    package func set(_ path: String, to text: String) throws(SystemError) {
        var directory = root
        for name in path.split(separator: "/").dropLast() {
            directory += "/" + name
            if mkdir(directory, 0o700) == 0 { created.append(directory) }
        }
        let number = open(root + path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        let file = FileDescriptor(owning: try checkErrno(number, "open", on: root + path))
        created.append(root + path)
        guard write(file.raw, text, text.utf8.count) == text.utf8.count else {
            throw SystemError("write", code: errno, on: root + path)
        }
    }

    deinit {
        for path in created.reversed() { remove(path) }
        remove(root)
    }
}
