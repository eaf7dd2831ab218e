import CLinux
import CRefuse
import DmaLinux
import Glibc

/// The program under test, and what one run of it leaves.
///
/// A run has no terminal: nothing on standard input, standard output and standard error caught in memory, where a
/// test may look while the program still works. Lines are 80 characters wide.
final class Run {
    /// `DMA_BENCH_BINARY`, else `dma-bench` beside the test bundle: `swift build` puts both into one directory.
    static let program: String = {
        if let path = getenv("DMA_BENCH_BINARY") { return String(cString: path) }
        let bundle = readLink("/proc/self/exe") ?? CommandLine.arguments[0]
        return bundle.split(separator: "/", omittingEmptySubsequences: false).dropLast()
            .joined(separator: "/") + "/dma-bench"
    }()

    /// Where standard output goes.
    enum Output {
        case caught
        case descriptor(Int32)
        case file(String)
        case closed
    }

    struct Outcome {
        let end: ChildProcess.End
        let output: String
        let errors: String

        /// The exit status; nil where a signal ended the program.
        var status: Int32? {
            if case .exited(let status) = end { status } else { nil }
        }
        var errorLines: [Substring] { errors.split(separator: "\n") }
    }

    let pid: Int32
    /// In the environment of every process of this run, and of no other.
    let mark: String
    private let handle: FileDescriptor
    private let caughtOutput: FileDescriptor
    private let caughtErrors: FileDescriptor
    private var end: ChildProcess.End?

    /// A system call that the kernel refuses to every process of the run, and the error number.
    struct Refusal {
        let call: crefuse_call
        let error: Int32
    }

    /// `through` is a command that runs the command behind it, such as prlimit(1).
    init(
        _ arguments: [String], output: Output = .caught, environment: [String: String] = [:],
        through: [String] = [], refusing refusal: Refusal? = nil
    ) throws(SystemError) {
        caughtOutput = try Self.makeFile()
        caughtErrors = try Self.makeFile()
        mark = "DMA_BENCH_TEST_RUN=\(getpid())-\(monotonicNanoseconds())"
        var variables = environment
        variables["COLUMNS"] = variables["COLUMNS"] ?? "80"
        // A test's own runner asks for the backtraces of every crash; a device that is killed has none to tell.
        variables["SWIFT_BACKTRACE"] = "enable=no"
        let inherited = readFile("/proc/self/environ").split(separator: "\0").map(String.init)
            .filter { variables[String($0.prefix { $0 != "=" })] == nil }
        let strings = inherited + variables.map { "\($0.key)=\($0.value)" } + [mark]

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, caughtErrors.raw, 2)
        switch output {
        case .caught: posix_spawn_file_actions_adddup2(&actions, caughtOutput.raw, 1)
        case .descriptor(let number): posix_spawn_file_actions_adddup2(&actions, number, 1)
        case .file(let path): posix_spawn_file_actions_addopen(&actions, 1, path, O_WRONLY, 0)
        case .closed: posix_spawn_file_actions_addclose(&actions, 1)
        }
        pid = try Self.spawn(
            through + [Self.program] + arguments, strings, &actions, refusing: refusal)
        handle = FileDescriptor(owning: try check(clinux_pidfd_open(pid), "pidfd_open"))
    }

    deinit { if end == nil { kill() } }

    /// Signals have their default actions, whatever the test's process does with them.
    private static func spawn(
        _ arguments: [String], _ environment: [String],
        _ actions: inout posix_spawn_file_actions_t, refusing refusal: Refusal?
    ) throws(SystemError) -> Int32 {
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var (none, all) = (sigset_t(), sigset_t())
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        let argv = arguments.map { strdup($0) } + [nil]
        let envp = environment.map { strdup($0) } + [nil]
        defer { for string in argv + envp { free(string) } }
        var pid: pid_t = 0
        let code =
            if let refusal {
                crefuse_posix_spawnp(
                    &pid, arguments[0], &actions, &attributes, argv, envp, refusal.call,
                    refusal.error)
            } else {
                posix_spawnp(&pid, arguments[0], &actions, &attributes, argv, envp)
            }
        guard code == 0 else {
            throw SystemError(
                "posix_spawnp", code: code, on: arguments[0],
                advice: "build the product dma-bench, or name it in DMA_BENCH_BINARY")
        }
        return pid
    }

    private static func makeFile() throws(SystemError) -> FileDescriptor {
        FileDescriptor(
            owning: try check(
                clinux_memfd_create("test-output", CLINUX_HUGE_NONE, true), "memfd_create"))
    }

    // MARK: While it runs

    /// What it has written so far.
    var output: String { Self.content(of: caughtOutput) }
    var errors: String { Self.content(of: caughtErrors) }

    /// Whole rows of CSV so far, the header not among them.
    var rowCount: Int { max(0, output.count { $0 == "\n" } - 1) }

    func signal(_ number: Int32) { _ = clinux_pidfd_signal(handle.raw, number) }

    private static func content(of file: borrowing FileDescriptor) -> String {
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = pread(file.raw, &part, part.count, off_t(bytes.count))
            guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
            bytes += part[..<count]
        }
    }

    // MARK: Its end

    /// A run that did not end: what no test expects, whatever the machine's speed.
    struct Hung: Error, CustomStringConvertible {
        let description: String
    }

    /// Waits for the end; kills what does not come to one, so that no test waits for ever.
    func finish(within seconds: UInt64 = 120) throws -> Outcome {
        let deadline = Deadline.after(milliseconds: seconds * 1000)
        while (try? FileDescriptor.readable([handle.raw], milliseconds: 100)) ?? 0 == 0 {
            if deadline.hasPassed {
                let state = "\(rowCount) rows, standard error: \(errors)"
                kill()
                throw Hung(description: "no end after \(seconds) s; \(state)")
            }
        }
        reap()
        return Outcome(end: end!, output: output, errors: errors)
    }

    private func kill() {
        signal(SIGKILL)
        reap()
    }

    private func reap() {
        guard end == nil else { return }
        var code: Int32 = 0
        _ = clinux_reap(pid, true, &code)
        end = code < 0 ? .signalled(-code) : .exited(code)
    }
}

/// Runs the program to its end.
func run(_ arguments: String..., environment: [String: String] = [:]) throws -> Run.Outcome {
    try Run(arguments, environment: environment).finish()
}

/// Whether the condition comes to hold, within a time that is for ever.
func eventually(within seconds: UInt64 = 20, _ condition: () -> Bool) -> Bool {
    let deadline = Deadline.after(milliseconds: seconds * 1000)
    while !condition() {
        if deadline.hasPassed { return false }
        sleep(until: .after(milliseconds: 2))
    }
    return true
}
