import CTorture
import DmaLinux
import DmaStatistics
import Glibc

/// Repeats a passing run with one of its system calls failing, until each has failed with each of its errors.
struct Calls {
    private let arguments: [String]
    private let directory: String
    private let patience: UInt64
    private let isQuiet: Bool
    private var random = SplitMix64(seed: 1)
    private var figures: [String: Figures] = [:]
    private(set) var complaints: [String] = []
    private var missed = 0

    /// One failure that is tried.
    private struct Trial {
        let spot: Spot
        let mishap: Mishap
        /// Whether all later ones of the name fail as well, as on a full disk.
        var lasts = false
    }

    private struct Figures {
        var calls = 0
        var runs = 0
        var endings: [Int32: Int] = [:]
    }

    /// What stands for a user's first look: rows in a file, each DMA in another. The strategies are those that make
    /// system calls of their own, and one that makes none.
    private static let ordinary = [
        "--strategy", "rangetree,slots,epoch,ofd,rpc,kernelpin,fault", "--size", "256K", "--rounds",
        "1", "--ops", "1", "--convert-rate", "100", "-o", "rows.csv",
        "--raw", "raw.csv",
    ]

    /// `patience` is in milliseconds, for the end of a run, and of what it has started.
    init(
        of program: String, _ arguments: [String], patience: UInt64 = 60_000, isQuiet: Bool = false
    ) throws {
        guard let path = realpath(program, nil) else {
            throw SystemError("realpath", code: errno, on: program, advice: "run: make build")
        }
        defer { free(path) }
        self.arguments =
            [String(cString: path)] + (arguments.isEmpty ? Self.ordinary : arguments)
        self.patience = patience
        self.isQuiet = isQuiet
        var template = Array("/tmp/torture-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemError("mkdtemp", code: errno) }
        directory = String(
            decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// Tries all there are, or what fits into the time. With no time, every call of every caller fails once, with one
    /// of its errors. False where a run does not end as it must.
    mutating func run(seconds: Int) throws -> Bool {
        defer {
            clear()
            rmdir(directory)
        }
        ctorture_tick()
        let start = monotonicNanoseconds()
        let deadline = Deadline(nanoseconds: start + UInt64(seconds) * 1_000_000_000)
        let whole = try carryOut(nil)
        guard whole.ending.status == 0, !whole.ending.calls.isEmpty else {
            throw Complaint(
                description: "no run without a failure to begin with; it says: \(whole.errors)")
        }
        let verdict = Verdict(
            reference: whole.left, said: whole.errors.split(separator: "\n"), directory: directory,
            arguments: arguments)
        let trials = order(whole.ending.calls, each: seconds > 0)
        for call in whole.ending.calls where !call.mishaps.isEmpty {
            figures[name(call.spot), default: Figures()].calls += 1
        }
        var tried = 0
        for trial in trials {
            if seconds > 0, deadline.hasPassed { break }
            try attempt(trial, verdict)
            tried += 1
        }
        let elapsed = (monotonicNanoseconds() - start) / 1_000_000_000
        if !isQuiet { report(of: tried, among: trials.count, seconds: elapsed) }
        return complaints.isEmpty
    }

    /// One of every kind first, so that a short time is spent on as many as possible; then one of every kind that fails
    /// from then on for good.
    private mutating func order(_ calls: [TracedProgram.Call], each: Bool) -> [Trial] {
        var kinds: [String: [Trial]] = [:]
        for call in calls {
            for mishap in call.mishaps {
                let kind = "\(name(call.spot)) \(call.spot.caller) \(each ? "\(mishap)" : "")"
                kinds[kind, default: []].append(Trial(spot: call.spot, mishap: mishap))
            }
        }
        let shuffled = kinds.sorted { $0.key < $1.key }.map {
            $0.value.shuffled(using: &random)
        }
        var trials = shuffled.map { $0[0] }
        guard each else { return trials }
        trials += shuffled.map { $0.last! }.filter { $0.mishap.mayLast }
            .map { Trial(spot: $0.spot, mishap: $0.mishap, lasts: true) }
        for depth in 1..<max(1, shuffled.map(\.count).max() ?? 0) {
            trials += shuffled.filter { depth < $0.count }.map { $0[depth] }
        }
        return trials
    }

    private func name(_ spot: Spot) -> String { CallTable.ofNumber[spot.number]!.name }

    // MARK: One run

    private mutating func attempt(_ trial: Trial, _ verdict: Verdict) throws {
        let what = "\(trial.spot)\(trial.lasts ? " and all later ones" : ""): \(trial.mishap)"
        let run = try carryOut((trial.spot, trial.mishap, trial.lasts))
        guard let call = run.ending.failed else {
            missed += 1
            return
        }
        figures[name(trial.spot), default: Figures()].runs += 1
        figures[name(trial.spot), default: Figures()]
            .endings[run.ending.status ?? -1, default: 0] += 1
        if let complaint = verdict.complaint(
            run.ending, trial.mishap, lasts: trial.lasts, errors: run.errors, left: run.left)
        {
            let about = call.path.isEmpty ? "" : " (\(call.path))"
            complaints.append(complaint)
            if !isQuiet {
                say("FAILED \(what)\(about): \(complaint); it says: \(run.errors)")
            }
        }
    }

    private func carryOut(
        _ failure: (spot: Spot, mishap: Mishap, lasts: Bool)?
    ) throws -> (ending: TracedProgram.Ending, errors: String, left: Leavings) {
        clear()
        let output = "\(directory)/\(Verdict.output)"
        let number = open(output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        let caught = FileDescriptor(owning: try checkErrno(number, "open", on: output))
        let said = FileDescriptor(
            owning: try checkErrno(
                open("/tmp", O_RDWR | 0o20200000 | O_CLOEXEC, 0o600), "open(O_TMPFILE)"))
        let ending = try TracedProgram(
            arguments: arguments, directory: directory, patience: patience
        ).run(failing: failure, output: caught.raw, errors: said.raw)
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = pread(said.raw, &bytes, bytes.count, 0)
        var left: Leavings = [:]
        for name in listDirectory(directory) {
            left[name] = readSmallFile("\(directory)/\(name)", limit: 1 << 22) ?? ""
        }
        return (ending, String(decoding: bytes.prefix(max(0, count)), as: UTF8.self), left)
    }

    private func clear() {
        for name in listDirectory(directory) { unlink("\(directory)/\(name)") }
    }

    // MARK: In the end

    private func report(of tried: Int, among all: Int, seconds: UInt64) {
        var sum = Figures()
        for (name, figures) in figures.sorted(by: { $0.key < $1.key }) {
            say("\(padded(name + " ")) \(figures.calls) calls, \(Self.endings(figures))")
            sum.calls += figures.calls
            sum.runs += figures.runs
            sum.endings.merge(figures.endings, uniquingKeysWith: +)
        }
        let share = tried == all ? "" : " (of \(all) that there are)"
        let late = missed == 0 ? "" : "; \(missed) calls did not come again"
        say(
            """
            \(padded("all")) \(sum.calls) calls of \(figures.count) kinds, \(Self.endings(sum))\(share)\(late); \
            \(complaints.count) wrong, \(seconds) s
            """)
    }

    private static func endings(_ figures: Figures) -> String {
        let endings = figures.endings.sorted { $0.key < $1.key }
            .map { "\($0.value) with \($0.key < 0 ? "none" : "\($0.key)")" }
        return "\(figures.runs) failed: the run ended \(endings.joined(separator: ", "))"
    }
}
