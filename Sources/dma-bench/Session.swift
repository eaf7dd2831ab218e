import DmaLinux
import DmaReport
import Experiment
import Glibc
import Hypervisor
import MachineProbe
import PinLock
import Turn

/// What the command line asks for, to the exit status: plan, rows out as they come, the table at the end. One run, or
/// several of the same plan.
struct Session {
    private let options: DmaBench
    private let plan: Plan
    private let runCount: Int
    private let format: Format
    private let isForPeople: Bool
    private let usesColor: Bool

    init(_ options: DmaBench) throws {
        self.options = options
        do throws(UsageError) {
            var request = try options.request()
            try request.readTrace()
            plan = try Plan(request)
            runCount = Int(
                try Quantity.count(options.turns.repetitions, option: "--repeat", in: 1...1000))
            guard runCount == 1 || options.raw == nil else {
                throw UsageError(
                    "--raw \(options.raw ?? ""): its rows do not say of which run they are; leave --repeat out"
                )
            }
            format = try Choice.named(
                options.format ?? "csv", option: "--format",
                among: Format.allCases.map { ($0.rawValue, $0) }
            )
            let color = try Choice.named(
                options.color, option: "--color",
                among: ["auto", "always", "never"].map { ($0, $0) })
            // https://no-color.org: an empty value says nothing.
            let isUnwanted = getenv("NO_COLOR").map { $0.pointee != 0 } ?? false
            let isColorful = Terminal.takesEscapes(STDERR_FILENO) && !isUnwanted
            usesColor = color == "always" || (color == "auto" && isColorful)
            isForPeople = Terminal.isTerminal(STDERR_FILENO) && !options.quiet
        } catch {
            throw Failure(.usage, error.description)
        }
    }

    func run() throws {
        if isForPeople || (options.dryRun && !options.quiet) { sayWhatCannotBeCaught() }
        if options.dryRun { return try DryRun(plan, runs: runCount).print() }
        let environment = Environment.capture(revision: Build.revision)
        let builder = RowBuilder(runName: "", environment: environment, plan: plan)
        var earlier: [EarlierRun] = []
        if let path = options.resume {
            earlier = try Resumption(
                path, options, format: format, builder: builder, runs: runCount
            ).runs
        }
        // Before the output is opened: what cannot run must not empty a file.
        var runner = try makeRunner(earlier.first)
        let output = try Output(
            format, options: options, environment: environment, clock: runner.clock,
            clockStep: runner.clockStepNanoseconds,
            earlier: earlier.flatMap(\.rows).map(\.row))
        let log = RunLog(
            builder: builder, output: output, isForPeople: isForPeople, runs: runCount)
        // Also where the run fails: what went before is what one wants to look at.
        defer { try? output.close() }
        for run in 1...runCount {
            let before = run <= earlier.count ? earlier[run - 1] : nil
            if run > 1 { runner = try makeRunner(before) }
            let name = before?.name ?? Self.runName() + (runCount > 1 ? "-\(run)" : "")
            log.start(run: run, named: name, runner, earlier: before?.rows ?? [])
            try carryOut(runner, log)
            try note(runner, output)
        }
        if isForPeople, !log.rows.isEmpty { summarise(log) }
    }

    /// A device never writes where these conversions are: whatever a strategy does wrong, no row will show it. Whoever
    /// runs safe ones as well wants their times.
    private func sayWhatCannotBeCaught() {
        let strategies = plan.request.values(of: \.strategy).map { $0.type.info }
        guard plan.request.settings.convertPlace == .outside, !strategies.contains(where: \.isSafe)
        else {
            return
        }
        let broken = strategies.map(\.name).filter { $0 != None.info.name }
        guard !broken.isEmpty else { return }
        Status.say(
            "dma-bench: broken on purpose: \(broken.joined(separator: ", ")); with conversions outside "
                + "the buffers nothing can be caught: add --convert-where inside")
    }

    private func makeRunner(_ earlier: EarlierRun?) throws -> Runner {
        do throws(RunFailure) {
            return try Runner(
                plan, earlier: earlier?.notes(writes: plan.request.settings.writes) ?? [:])
        } catch {
            throw Failure(error)
        }
    }

    /// Runs the plan. Throws where there is nothing to go on with.
    private func carryOut(_ runner: Runner, _ log: RunLog) throws {
        let complete: Bool
        do throws(RunFailure) {
            complete = try runner.run(watchedBy: log)
        } catch {
            log.progress.erase()
            if case .interrupted = error, !log.rows.isEmpty { throw interrupted(log) }
            throw Failure(error)
        }
        log.progress.erase()
        // The worst news first: nothing else that ended the run may hide it.
        try judge(log)
        if let failure = log.outputFailure { throw Failure(.inputOutput, failure.description) }
        if let failure = log.machineFailure {
            throw Failure(
                failure.isRefusal ? .unavailable : .internalError,
                "\(failure); complete rows before it: \(log.rows.count - 1)")
        }
        if !complete || Interruption.isRequested {
            throw interrupted(log)
        }
    }

    private func note(_ runner: Runner, _ output: Output) throws {
        do throws(OutputError) {
            try output.note(
                Environment.Processors(
                    speedUp: runner.calibration?.speedUp,
                    speedUpAtEnd: runner.calibrationAtEnd?.speedUp,
                    addsPerCycle: runner.probes.best))
        } catch {
            throw Failure(.inputOutput, error.description)
        }
    }

    private func interrupted(_ log: RunLog) -> Failure {
        Failure(.interrupted, "interrupted; rows written so far: \(log.rows.count)")
    }

    private func summarise(_ log: RunLog) {
        let width = Terminal.width(of: STDERR_FILENO) ?? 80
        Status.say(String(Summary(log.rows).text(width: width, color: usesColor).dropLast()))
    }

    private func judge(_ log: RunLog) throws {
        guard let broken = log.rows.first(where: { $0.status == .violation }) else { return }
        throw Failure(
            .safetyViolation,
            """
            strategy '\(broken.strategy)' claims safety, but private pages were written in round \(broken.round): \
            violations_private=\(broken.violationsPrivate ?? 0), violations_stale=\(broken.violationsStale ?? 0); \
            first: \(log.firstViolation ?? "unknown")
            """)
    }

    /// The start in UTC and the process: unique on a machine, sorted by time.
    static func runName() -> String {
        var now = time(nil)
        var parts = tm()
        gmtime_r(&now, &parts)
        var text = [CChar](repeating: 0, count: 32)
        strftime(&text, text.count, "%Y%m%dT%H%M%SZ", &parts)
        let name = text.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        return "\(name)-\(getpid())"
    }
}

extension Failure {
    /// A run that did not come to its end, with the exit status that it has.
    init(_ failure: RunFailure) {
        switch failure {
        case .usage: self.init(.usage, failure.description)
        case .unavailable: self.init(.unavailable, failure.description)
        case .machine(let error):
            self.init(error.isRefusal ? .unavailable : .internalError, failure.description)
        case .interrupted: self.init(.interrupted, "interrupted before the first row")
        }
    }
}
