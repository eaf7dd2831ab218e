import CTorture
import DmaLinux
import Glibc

/// Who makes a call. The calls of each are counted apart, by their names, so that the same one fails in every run,
/// however processes interleave.
enum Caller: Hashable, CustomStringConvertible {
    case harness
    case device(String)
    /// A child of the harness before it runs a program of its own: the C library's posix_spawn(3).
    case child
    /// Another program.
    case stranger

    var description: String {
        switch self {
        case .harness: "harness"
        case .device(let number): "device \(number)"
        case .child: "child"
        case .stranger: "stranger"
        }
    }
}

/// The `count`th of a caller's calls of one name.
struct Spot: Hashable, CustomStringConvertible {
    let caller: Caller
    let number: Int32
    let count: Int

    var description: String {
        "\(CallTable.ofNumber[number]!.name) no. \(count) of the \(caller)"
    }
}

/// One run of a program with all its processes and threads, of which one call may fail.
///
/// Calls are counted from `main` on, which begins with a look at descriptor 0 (fcntl(2), F_GETFD). What the loader and
/// the C library do before that is theirs: without it there is no program.
struct TracedProgram {
    /// A call that was made: what can befall it.
    struct Call {
        let spot: Spot
        /// The file that it is about, by a descriptor or by a name; empty where there is none.
        let path: String
        let mishaps: [Mishap]
    }

    struct Ending {
        /// 128 and the signal where one has ended it; nil where the run hung.
        var status: Int32?
        /// What was made of the call that was to fail; nil where it never came.
        var failed: Call?
        var calls: [Call] = []
        /// Tasks that were about to get a signal that tells of a bug.
        var crashes: [String] = []
        /// Where each task was when the time was up: while the harness ran, or after it.
        var hanging: [String] = []
    }

    let arguments: [String]
    let directory: String
    /// Milliseconds for the run, and after it for whatever it has started.
    let patience: UInt64

    /// `errors` gets standard error, `output` standard output. Without a spot all calls are noted.
    func run(
        failing failure: (spot: Spot, mishap: Mishap, lasts: Bool)?, output: Int32, errors: Int32
    ) throws(SystemError) -> Ending {
        var numbers =
            failure.map { [$0.spot.number] } ?? CallTable.entries.map(\.number)
        if !numbers.contains(SYS_fcntl) { numbers.append(SYS_fcntl) }
        let variables = [
            "SWIFT_BACKTRACE=enable=no", "TMPDIR=\(directory)", "PATH=/usr/bin:/bin",
        ]
        let argv = arguments.map { strdup($0) } + [nil]
        let environment = variables.map { strdup($0) } + [nil]
        defer { for string in argv + environment { free(string) } }
        let null = FileDescriptor(owning: try checkErrno(open("/dev/null", O_RDONLY), "open"))
        let root = try check(
            ctorture_start(
                argv, environment, directory, [null.raw, output, errors], numbers,
                UInt32(numbers.count)), "ptrace")
        var tracer = Tracer(root: root, failure: failure, directory: directory)
        return tracer.follow(patience: patience)
    }
}

/// Follows the tasks of a run from stop to stop.
private struct Tracer {
    let root: pid_t
    let failure: (spot: Spot, mishap: Mishap, lasts: Bool)?
    /// Where the program runs, for names that begin there.
    let directory: String
    private var ending = TracedProgram.Ending()
    private var processOf: [pid_t: pid_t] = [:]
    private var callerOf: [pid_t: Caller] = [:]
    private var counts: [Caller: [Int32: Int]] = [:]
    /// Processes that have come to `main`.
    private var begun: Set<pid_t> = []

    init(root: pid_t, failure: (spot: Spot, mishap: Mishap, lasts: Bool)?, directory: String) {
        self.root = root
        self.failure = failure
        self.directory = directory
    }

    mutating func follow(patience: UInt64) -> TracedProgram.Ending {
        var deadline = Deadline.after(milliseconds: patience)
        while true {
            let event = ctorture_next()
            switch event.kind {
            case CTORTURE_NOBODY: return ending
            case CTORTURE_CALL: meet(event)
            case CTORTURE_RESULT:
                if case .error(let code) = failure?.mishap { ctorture_give(event.task, code) }
            case CTORTURE_EXEC:
                callerOf[event.task] = caller(of: event.task)
                ctorture_continue(event.task, 0)
            case CTORTURE_CRASH:
                let caller = callerOf[process(of: event.task)] ?? .stranger
                ending.crashes.append("\(caller): \(String(cString: strsignal(event.code)))")
                ctorture_continue(event.task, event.code)
            case CTORTURE_GONE:
                processOf[event.task] = nil
                callerOf[event.task] = nil
                guard event.task == root else { break }
                if ending.hanging.isEmpty { ending.status = event.code }
                deadline = .after(milliseconds: patience)
            default: break
            }
            if deadline.hasPassed {
                if ending.hanging.isEmpty { ending.hanging = places }
                for process in Set(processOf.values).union([root]) { kill(process, SIGKILL) }
                deadline = .after(milliseconds: patience)
            }
        }
    }

    private mutating func meet(_ event: ctorture_event) {
        let process = process(of: event.task)
        let isMain =
            event.number == SYS_fcntl && event.arguments.0 == 0 && event.arguments.1 == F_GETFD
        if isMain { begun.insert(process) }
        let caller = callerOf[process] ?? .child
        guard let entry = CallTable.ofNumber[event.number], caller != .stranger,
            caller == .child ? process != root : begun.contains(process)
        else { return ctorture_continue(event.task, 0) }
        let count = counts[caller, default: [:]][event.number, default: 0] + 1
        counts[caller, default: [:]][event.number] = count
        let spot = Spot(caller: caller, number: event.number, count: count)
        let isMeant = failure.map {
            $0.spot == spot
                || $0.lasts && $0.spot.caller == caller && $0.spot.number == event.number
                    && count > $0.spot.count
        }
        guard isMeant != false else {
            return ctorture_continue(event.task, 0)
        }
        let path = path(of: event)
        let call = TracedProgram.Call(
            spot: spot, path: path,
            mishaps: CallTable.mishaps(entry, event.arguments, isFile: path.hasPrefix("/")))
        guard let failure else {
            if !entry.isOfLoop || count <= CallTable.loopLimit { ending.calls.append(call) }
            return ctorture_continue(event.task, 0)
        }
        if ending.failed == nil { ending.failed = call }
        guard call.mishaps.contains(failure.mishap) else {
            return ctorture_continue(event.task, 0)
        }
        switch failure.mishap {
        case .short: ctorture_shorten(event.task)
        case .error where entry.isCarriedOut: ctorture_carry_out(event.task)
        case .error(let code): ctorture_refuse(event.task, code)
        }
    }

    // MARK: What /proc says

    private mutating func process(of task: pid_t) -> pid_t {
        if let known = processOf[task] { return known }
        let status = readSmallFile("/proc/\(task)/status") ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("Tgid:") }
        let process = line?.split(separator: "\t").last.flatMap { pid_t($0) } ?? task
        processOf[task] = process
        return process
    }

    private mutating func caller(of task: pid_t) -> Caller {
        processOf[task] = task
        guard task != root else { return .harness }
        let words = (readSmallFile("/proc/\(task)/cmdline") ?? "").split(separator: "\0")
        guard words.count > 3, words[1] == "device" else { return .stranger }
        return .device(String(words[2]))
    }

    /// The file behind the first argument, where that is a descriptor, or the name that the call has.
    private func path(of event: ctorture_event) -> String {
        let name: UInt64?
        switch event.number {
        case SYS_openat: name = event.arguments.1
        case SYS_newfstatat: name = event.arguments.3 & 0x1000 == 0 ? event.arguments.1 : nil
        case SYS_rename, SYS_mkdir, SYS_readlink, SYS_access, SYS_execve: name = event.arguments.0
        case SYS_read, SYS_write, SYS_pread64, SYS_pwrite64, SYS_ftruncate, SYS_fsync,
            SYS_fdatasync, SYS_close, SYS_fcntl, SYS_lseek, SYS_ioctl, SYS_getdents64:
            name = nil
        default: return ""
        }
        var bytes = [CChar](repeating: 0, count: 4096)
        if let name {
            let memory = open("/proc/\(event.task)/mem", O_RDONLY | O_CLOEXEC)
            defer { close(memory) }
            // A name may end short of the page that ends the stack.
            _ = pread(memory, &bytes, 512, off_t(bitPattern: name))
        } else {
            let number = Int32(truncatingIfNeeded: event.arguments.0)
            _ = readlink("/proc/\(event.task)/fd/\(number)", &bytes, bytes.count - 1)
        }
        let path = String(
            decoding: bytes.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        return name == nil || path.hasPrefix("/") || path.isEmpty ? path : "\(directory)/\(path)"
    }

    /// Every task that is left, and the system call that it is in.
    private var places: [String] {
        let found = processOf.map { task, process in
            let number = (readSmallFile("/proc/\(task)/syscall") ?? "").split(separator: " ").first
            let name = number.flatMap { Int32($0) }.flatMap { CallTable.ofNumber[$0]?.name }
            return "\(callerOf[process] ?? .child) in \(name ?? number.map(String.init) ?? "?")"
        }
        return found.isEmpty ? ["harness"] : found.sorted()
    }
}

extension off_t {
    fileprivate init(bitPattern: UInt64) { self = off_t(Int64(bitPattern: bitPattern)) }
}
