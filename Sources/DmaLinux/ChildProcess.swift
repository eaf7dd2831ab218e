import CLinux
import Glibc
import Synchronization

/// A child of this process; killed and reaped when its owner ends.
///
/// The pidfd tells of its death at once, and a signal through it can never reach a
/// process that took over the number.
public final class ChildProcess: Sendable {
    public enum End: Equatable, Sendable, CustomStringConvertible {
        case exited(Int32)
        case signalled(Int32)

        public var description: String {
            switch self {
            case .exited(let status): "exited with status \(status)"
            case .signalled(let signal): "was ended by signal \(signal)"
            }
        }
    }

    public let pid: Int32
    private let handle: FileDescriptor
    private let ended = Mutex<End?>(nil)

    /// Starts `/proc/self/exe` with `arguments`; `descriptors[i]` becomes number `3 + i` there.
    ///
    /// The kernel ties the child to the *thread* that starts it (prctl(2), PR_SET_PDEATHSIG): call this
    /// from one that lives as long as the child should.
    public convenience init(
        arguments: [String], descriptors: [Int32]
    ) throws(SystemError) {
        // dup2 in the child must not overwrite a descriptor that a later one still needs.
        let lowest = Int32(3 + descriptors.count)
        var raised: [Int32] = []
        defer { for number in raised { close(number) } }
        for number in descriptors {
            raised.append(
                try checkErrno(fcntl(number, F_DUPFD_CLOEXEC, lowest), "fcntl(F_DUPFD_CLOEXEC)"))
        }
        var child: Int32 = 0
        try check(
            Self.withStrings(arguments) {
                clinux_spawn_self($0, raised, Int32(raised.count), &child)
            }, "posix_spawn", on: "/proc/self/exe", advice: KernelFiles.machine.adviceOnProc())
        try self.init(started: child)
    }

    /// Starts another program, `program[0]`, with these descriptors as its standard streams.
    convenience init(program: [String], standard: [Int32]) throws(SystemError) {
        var child: Int32 = 0
        try check(
            Self.withStrings(program) { clinux_spawn_tool($0, standard, &child) }, "posix_spawnp",
            on: program[0])
        try self.init(started: child)
    }

    private static func withStrings(
        _ arguments: [String], _ body: ([UnsafePointer<CChar>?]) -> Int32
    ) -> Int32 {
        let strings = arguments.map { UnsafePointer(strdup($0)) } + [nil]
        defer { for string in strings { free(UnsafeMutablePointer(mutating: string)) } }
        return body(strings)
    }

    private init(started child: Int32) throws(SystemError) {
        pid = child
        let pidfd = clinux_pidfd_open(child)
        if pidfd < 0 {
            var code: Int32 = 0
            kill(child, SIGKILL)
            _ = clinux_reap(child, true, &code)
            try check(pidfd, "pidfd_open", of: .basic)
        }
        handle = FileDescriptor(owning: pidfd)
    }

    deinit { terminate() }

    /// Readable from the moment the process has ended.
    public var deathDescriptor: Int32 { handle.raw }

    /// User and system time of all its threads so far, in nanoseconds (clock_getcpuclockid(3)); 0 once it is reaped.
    public var processorNanoseconds: UInt64 {
        var clock: clockid_t = 0
        var time = timespec()
        guard clock_getcpuclockid(pid, &clock) == 0, clock_gettime(clock, &time) == 0 else {
            return 0
        }
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// Whether its main thread has a processor or waits for one.
    public var isRunnable: Bool { Self.isRunnable(pid) }

    /// The same of any process. False of one that sleeps, is stopped or has ended.
    public static func isRunnable(_ pid: Int32) -> Bool { state(of: pid) == "R" }

    /// Whether a signal or a tracer has stopped it.
    public var isStopped: Bool { ["T", "t"].contains(Self.state(of: pid)) }

    /// As proc_pid_stat(5) has it; nil of a process that is not there.
    private static func state(of pid: Int32) -> Character? {
        // The program's name before the state may hold any character but ends with the last parenthesis.
        readSmallFile("/proc/\(pid)/stat")?.split(separator: ")").last?.dropFirst().first
    }

    public func signal(_ number: Int32) {
        _ = clinux_pidfd_signal(handle.raw, number)
    }

    /// How the process ended, once it has been reaped; nil while it runs.
    public func poll() -> End? { reap(block: false) }

    /// Ends the process if it still runs, and reaps it.
    @discardableResult
    public func terminate() -> End {
        if let end = poll() { return end }
        signal(SIGKILL)
        return reap(block: true) ?? .signalled(SIGKILL)
    }

    /// Waits until it has ended by itself, or kills it: at the deadline, or where the kernel lets nobody wait.
    @discardableResult
    public func wait(until deadline: Deadline) -> End {
        while !deadline.hasPassed {
            let left =
                (deadline.nanoseconds - min(deadline.nanoseconds, monotonicNanoseconds()))
                / 1_000_000 + 1
            guard let ready = try? FileDescriptor.readable([handle.raw], milliseconds: left)
            else { break }
            if ready != 0, let end = poll() { return end }
        }
        return terminate()
    }

    private func reap(block: Bool) -> End? {
        ended.withLock { ended in
            if let ended { return ended }
            var code: Int32 = 0
            guard clinux_reap(pid, block, &code) == 1 else { return nil }
            ended = code < 0 ? .signalled(-code) : .exited(code)
            return ended
        }
    }
}

/// Ends this process, which cannot keep a promise of its own any more: one line on standard error says why, and whoever
/// watches it takes back what it has.
public func giveUp(_ why: String) -> Never {
    let line = Array("dma-bench: \(why)\n".utf8)
    _ = write(STDERR_FILENO, line, line.count)
    _exit(70)
}

/// Asks the kernel to kill this process when the thread that started it ends. False where that happened already.
public func dieWithParent(expected parent: Int32) throws(SystemError) -> Bool {
    try check(clinux_die_with_parent(SIGKILL), "prctl(PR_SET_PDEATHSIG)", of: .basic)
    return getppid() == parent
}
