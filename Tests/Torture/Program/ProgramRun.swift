import DmaLinux
import Glibc

/// A run of the whole program, its rows thrown away.
final class ProgramRun {
    let pid: pid_t
    /// In the environment of every process of this run, and of no other.
    private let mark: String
    private let errorFile: FileDescriptor
    private var status: Int32?

    init(_ program: String, _ arguments: [String]) throws(SystemError) {
        mark = "TORTURE_RUN=\(getpid())-\(monotonicNanoseconds())"
        var template = Array("/tmp/torture-XXXXXX".utf8CString)
        errorFile = FileDescriptor(owning: try checkErrno(mkstemp(&template), "mkstemp"))
        unlink(template)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, errorFile.raw, 2)
        let argv = ([program] + arguments).map { strdup($0) } + [nil]
        let environment = [strdup(mark), strdup("SWIFT_BACKTRACE=enable=no"), nil]
        defer { for string in argv + environment { free(string) } }
        var child: pid_t = 0
        let code = posix_spawn(&child, program, &actions, nil, argv, environment)
        guard code == 0 else {
            throw SystemError("posix_spawn", code: code, on: program, advice: "run: make build")
        }
        pid = child
    }

    deinit {
        guard !hasEnded else { return }
        kill(pid, SIGKILL)
        _ = waitpid(pid, nil, 0)
    }

    /// What it has written on standard error.
    var errors: String {
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = pread(errorFile.raw, &bytes, bytes.count, 0)
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    }

    /// Its device processes, by their numbers.
    var devices: [Int: pid_t] {
        var found: [Int: pid_t] = [:]
        for process in Self.processes {
            let words = Self.words(of: "/proc/\(process)/cmdline")
            guard words.count > 3, words[1] == "device", words[3] == String(pid) else { continue }
            if let number = Int(words[2]) { found[number] = process }
        }
        return found
    }

    /// Processes of this run that live.
    var survivors: [pid_t] {
        Self.processes.filter { Self.words(of: "/proc/\($0)/environ").contains(mark[...]) }
    }

    var hasEnded: Bool {
        if status != nil { return true }
        var status: Int32 = 0
        guard waitpid(pid, &status, WNOHANG) == pid else { return false }
        self.status = status
        return true
    }

    /// The exit status; 128 and the signal where one has ended it.
    var exitStatus: Int32? {
        status.map { $0 & 0x7f == 0 ? $0 >> 8 & 0xff : 128 + $0 & 0x7f }
    }

    private static var processes: [pid_t] {
        guard let directory = opendir("/proc") else { return [] }
        defer { closedir(directory) }
        var found: [pid_t] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if let number = pid_t(name) { found.append(number) }
        }
        return found
    }

    private static func words(of path: String) -> [Substring] {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return [] }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = read(file, &bytes, bytes.count)
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
            .split(separator: "\0")
    }
}

/// Whether the condition comes to hold in time.
func eventually(within seconds: UInt64, _ condition: () -> Bool) -> Bool {
    let deadline = Deadline.after(milliseconds: seconds * 1000)
    while !condition() {
        if deadline.hasPassed { return false }
        sleep(until: .after(milliseconds: 1))
    }
    return true
}
