import Experiment
import Glibc
import GuestMemory
import Hypervisor
import Linux
import PinLock
import Report
import Telemetry

/// One run from the command line to the exit status: plan, rows out as they come, the table at the end.
struct Session {
    private let options: DmaBench
    private let plan: Plan
    private let format: Format
    private let isForPeople: Bool
    private let usesColor: Bool

    init(_ options: DmaBench) throws {
        self.options = options
        do throws(UsageError) {
            plan = try Plan(try RequestParser.request(options))
            format = try Choice.named(
                options.format ?? "csv", option: "--format",
                among: Format.allCases.map { ($0.rawValue, $0) }
            )
            let color = try Choice.named(
                options.color, option: "--color",
                among: ["auto", "always", "never"].map { ($0, $0) })
            let isTerminal = Terminal.isTerminal(STDERR_FILENO)
            // https://no-color.org: an empty value says nothing.
            let isUnwanted = getenv("NO_COLOR").map { $0.pointee != 0 } ?? false
            usesColor = color == "always" || (color == "auto" && isTerminal && !isUnwanted)
            isForPeople = isTerminal && !options.quiet
        } catch {
            throw Failure(.usage, error.description)
        }
    }

    func run() throws {
        if options.dryRun { return try describe() }
        let runner: Runner
        do throws(RunFailure) {
            runner = try Runner(plan)
        } catch {
            throw Failure(error)
        }
        let environment = Environment.capture(revision: Build.revision)
        let builder = RowBuilder(
            runName: Self.runName(), environment: environment.hash, runner: runner)
        let output = try Output(
            format, options: options, environment: environment, clock: runner.clock)
        let log = try carryOut(runner, builder, output)
        if isForPeople, !log.rows.isEmpty { summarise(log) }
    }

    /// Runs the plan. Throws where there is nothing to go on with.
    private func carryOut(_ runner: Runner, _ builder: RowBuilder, _ output: Output) throws
        -> RunLog
    {
        let log = RunLog(plan: plan, builder: builder, output: output, isForPeople: isForPeople)
        let complete: Bool
        do throws(RunFailure) {
            complete = try runner.run(watchedBy: log)
        } catch {
            log.progress.erase()
            throw Failure(error)
        }
        log.progress.erase()
        // The worst news first: nothing else that ended the run may hide it.
        try judge(log)
        if let failure = log.outputFailure { throw Failure(.inputOutput, failure.description) }
        if let failure = log.machineFailure {
            throw Failure(
                .internalError, "\(failure); complete rows before it: \(log.rows.count - 1)")
        }
        if !complete || Interruption.isRequested {
            throw Failure(.interrupted, "interrupted; rows written so far: \(log.rows.count)")
        }
        return log
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
            \(broken.strategy) claims safety, but private pages were written in round \(broken.round): \
            violations_private=\(broken.violationsPrivate ?? 0), violations_stale=\(broken.violationsStale ?? 0); \
            first: \(log.firstViolation ?? "unknown")
            """)
    }

    // MARK: What would be run

    private func describe() throws {
        let request = plan.request
        let memory = plan.cells.map(\.shape.map.pages).max()!
        let backings = request.backings.map(\.rawValue).joined(separator: ",")
        var lines = [
            "\(plan.cells.count) cells x \(request.rounds) rounds = \(plan.turnCount) turns",
            "guest memory: \(memory.bytes)\(request.writes ? "" : ", sparse"), backing \(backings)",
        ]
        for (index, group) in plan.groups.enumerated() {
            let cell = group[0]
            let order = plan.order(ofGroup: index, round: 1).map { cell in
                cell.strategy.info.name
                    + (cell.shape.pool.map { " (pool \($0.bytes))" } ?? "")
                    + (cell.cache.map { " (cache \($0.bytes))" } ?? "")
            }.joined(separator: ", ")
            lines.append(
                """
                size \(cell.shape.size.bytes), chunk \(cell.chunk.bytes), ranges \(cell.shape.ranges), devices \
                \(cell.shape.devices), engine \(request.writes ? cell.engine.rawValue : "none"), policy \
                \(cell.policy.rawValue), \(cell.convertRate) conversions/s of \(cell.convertPages) \
                \(request.convertPlace.rawValue): \(order)
                """)
        }
        try Status.print(lines.joined(separator: "\n") + "\n")
    }

    /// The start in UTC and the process: unique on a machine, sorted by time.
    private static func runName() -> String {
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
        case .machine: self.init(.internalError, failure.description)
        case .interrupted: self.init(.interrupted, "interrupted before the first row")
        }
    }
}
