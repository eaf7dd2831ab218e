import DmaLinux
import DmaWriter
import GuestMemory
import Hypervisor
import PinLock
import Telemetry
import Turn
import VirtualDevice

/// Why a run did not start.
public enum RunFailure: Error, CustomStringConvertible {
    /// The request makes no sense on this machine.
    case usage(UsageError)
    /// The machine lacks something; the text says what and what to do.
    case unavailable(String)
    case machine(MachineError)
    /// Asked to stop before the first result.
    case interrupted

    public var description: String {
        switch self {
        case .usage(let error): error.description
        case .unavailable(let text): text
        case .machine(let error): error.description
        case .interrupted: "interrupted"
        }
    }
}

/// Carries out a plan: memory, processors and devices once, then every round.
public final class Runner {
    public let plan: Plan
    public let clock: TickClock
    /// The clock's own cost, which every interval contains, in nanoseconds.
    public let clockNanoseconds: Double
    /// The step by which the clock moves, in nanoseconds.
    public let clockStepNanoseconds: Double
    /// Whether two processors do the work of two, before anything of ours runs.
    public private(set) var calibration: Calibration?
    /// The same once all rounds are over; nil before that, and where nothing was left to run.
    public private(set) var calibrationAtEnd: Calibration?
    /// How much cores have been seen to do in this run.
    public private(set) var probes = CoreProbeLog()
    /// The machine's processors, by cores.
    let cores: [[Int]]
    /// The node that holds the buffers of the run's guest, where the machine tells.
    public internal(set) var memoryNode: Int?
    let machineProcessors: [Int]
    /// What an earlier run has measured.
    private let done: Set<Plan.Turn>
    private var rule: StoppingRule
    /// Why strategies cannot run here, by their names.
    private var unavailable: [String: String] = [:]

    /// Checks what can be checked before anything is touched.
    ///
    /// Turns that an earlier run has measured are left out, and count.
    public init(
        _ plan: Plan, earlier: [Plan.Turn: StoppingRule.Note] = [:]
    ) throws(RunFailure) {
        self.plan = plan
        done = Set(earlier.keys)
        rule = StoppingRule(plan.request)
        for (turn, note) in earlier { rule.take(note, of: turn) }
        let allowed: [Int]
        do throws(SystemError) {
            allowed = try Processors.allowed()
            try StopCounter.install()
        } catch {
            throw .machine(.system(error))
        }
        machineProcessors = allowed
        cores = Processors.cores(of: allowed)
        for processor in plan.request.vcpuProcessors {
            try Self.check(processor, option: "--vcpu-cpu", among: allowed)
        }
        if let processor = plan.request.deviceProcessor {
            try Self.check(processor, option: "--device-cpu", among: allowed)
        }
        clock = TickClock.calibrated()
        clockNanoseconds = clock.measuredCost()
        clockStepNanoseconds = clock.measuredStep()
        for engine in plan.request.values(of: \.engine) where !engine.isAvailable {
            throw .unavailable(
                "--engine \(engine.rawValue): this processor has no such instructions; use memset")
        }
        if let node = plan.request.memoryNode { _ = try Self.placement(node) }
        if plan.request.settings.enforces, let reason = Fault.unavailability(pinning: PageCount(0))
        {
            throw .unavailable("--enforce mmu: \(reason)")
        }
        unavailable = Self.unavailableStrategies(plan)
        if let cell = plan.cells.first, let reason = unavailability(of: cell),
            plan.cells.allSatisfy({ unavailability(of: $0) != nil })
        {
            throw .unavailable("--strategy \(cell.strategy.info.name): \(reason)")
        }
        for backing in plan.backings { try Self.checkMemory(plan, backing) }
    }

    private static func unavailableStrategies(_ plan: Plan) -> [String: String] {
        var reasons: [String: String] = [:]
        let pinned = plan.cells.map { $0.map.buffers.reduce(0) { $0 + $1.pages.rawValue } }
        for strategy in plan.request.values(of: \.strategy).map(\.type) {
            reasons[strategy.info.name] = strategy.unavailability(
                pinning: PageCount(pinned.max() ?? 0))
        }
        return reasons
    }

    private static func check(
        _ wanted: Int, option: String, among allowed: [Int]
    ) throws(RunFailure) {
        guard allowed.contains(wanted) else {
            throw .usage(
                UsageError(
                    "\(option) \(wanted): this process may run on CPU "
                        + allowed.map(String.init).joined(separator: ", ") + "; choose one of them")
            )
        }
    }

    /// Where so many devices and the vCPUs of their guest run.
    public func processors(devices: Int) -> ProcessorLayout {
        var wishes = ProcessorLayout.Wishes()
        wishes.devices = plan.request.deviceProcessor
        wishes.vcpus = plan.request.vcpuProcessors
        wishes.vcpuCount = plan.request.vcpus
        wishes.sleeps = plan.request.settings.usesEventfd
        return ProcessorLayout(devices: devices, cores: cores, wishes: wishes)
    }

    static func placement(_ node: Int) throws(RunFailure) -> Placement {
        do throws(PlacementFailure) {
            return try Placement(node: node)
        } catch {
            let text = "--memory-node \(node): \(error)"
            guard case .noSuchNode = error else { throw .unavailable(text) }
            throw .usage(UsageError(text))
        }
    }

    /// Runs all rounds, and tells the observer. Returns whether the plan was carried out to its end.
    public func run(watchedBy observer: some RunObserver) throws(RunFailure) -> Bool {
        for backing in plan.backings {
            guard try run(backing, watchedBy: observer) else { return false }
        }
        if calibration != nil { calibrationAtEnd = try calibrate() }
        return true
    }

    private func run(
        _ backing: Backing, watchedBy observer: some RunObserver
    ) throws(RunFailure) -> Bool {
        var machine: VirtualMachine?
        for round in 1...rule.mostRounds {
            let turns = plan.round(round, on: backing)
            for (index, (cell, position)) in turns.enumerated()
            where !done.contains(Plan.Turn(cell, round: round)) {
                if observer.shouldStop { return false }
                if machine == nil {
                    // Before anything of ours runs.
                    if calibration == nil { calibration = try calibrate() }
                    machine = try makeMachine(backing, turns.map(\.cell), observer)
                }
                observer.starting(cell, turn: index + 1, of: turns.count, round: round)
                guard
                    let result = runTurn(
                        machine!, cell, round: round, position: position, observer)
                else { return false }
                rule.take(note(of: result), of: Plan.Turn(cell, round: round))
                guard observer.finished(result) else { return false }
                if case .failed = result.ending { return false }
            }
            let cells = turns.map(\.cell)
            let verdict = rule.verdict(on: cells, after: round)
            observer.decided(verdict, on: cells, after: round)
            if verdict.isEnough { break }
        }
        return true
    }

    private func note(of result: CellResult) -> StoppingRule.Note {
        guard case .measured(let outcome, let disturbances) = result.ending else {
            // What cannot run here holds nobody up.
            return StoppingRule.Note(figure: nil, isQuiet: true)
        }
        let figure =
            result.cell.settings.writes
            ? outcome.measurements.requests.dma.percentile(50).map { Double($0) }
            : outcome.hotPair.nanoseconds
        return StoppingRule.Note(
            figure: outcome.wasInterrupted ? nil : figure, isQuiet: disturbances.isEmpty)
    }

    /// How often a turn is taken again in which somebody was stopped.
    private static let stopLimit = 3

    /// Runs a turn, again where somebody was stopped in it; nil where the run was interrupted before there was a result.
    private func runTurn(
        _ machine: VirtualMachine, _ cell: Cell, round: Int, position: Int,
        _ observer: some RunObserver
    ) -> CellResult? {
        func result(_ ending: CellResult.Ending) -> CellResult {
            CellResult(cell: cell, round: round, position: position, ending: ending)
        }
        if let reason = unavailability(of: cell) { return result(.unavailable(reason)) }
        var turn = turnPlan(cell, round: round)
        turn.streamsSamples = observer.wantsSamples
        turn.eventLimit = observer.eventLimit
        for attempt in 1...Self.stopLimit {
            // Held back until the attempt counts.
            var samples: [(DeviceID, DMASample)] = []
            do throws(MachineError) {
                turn.bestAddsPerCycle = probes.best ?? 0
                let outcome = try machine.run(
                    turn, shouldStop: { observer.shouldStop },
                    onSample: { samples.append(($0, $1)) })
                for other in outcome.measurements.interference + outcome.vcpus {
                    probes.add(other.probes)
                }
                if outcome.wasStopped, attempt < Self.stopLimit, !outcome.wasInterrupted {
                    observer.repeating(cell, round: round)
                    continue
                }
                for (device, sample) in samples {
                    observer.took(sample, cell, round: round, device: device)
                }
                return result(
                    .measured(
                        outcome,
                        disturbedBy: Disturbance.of(
                            outcome, turn.processors, best: probes.best, calibration)))
            } catch {
                if case .interrupted = error { return nil }
                return result(.failed(error))
            }
        }
        return nil
    }

    func unavailability(of cell: Cell) -> String? {
        if let reason = unavailable[cell.strategy.info.name] { return reason }
        if let reason = cell.trace?.unavailability(
            of: cell.strategy.info, writes: cell.settings.writes)
        {
            return reason
        }
        guard cell.strategy.info.protectsPages, cell.settings.writes else { return nil }
        if cell.settings.loads {
            return
                "page tables stop a device's stores to private pages, and no loads; use --direction write"
        }
        guard cell.settings.backing.isHugetlb else { return nil }
        return "page tables protect huge pages as a whole; use --backing memfd or thp"
    }

    func turnPlan(_ cell: Cell, round: Int) -> TurnPlan {
        var settings = cell.settings
        // The same conversions for every strategy of a round, others in each round.
        settings.seed &+= UInt64(round)
        var plan = TurnPlan(
            settings, map: cell.map, processors: processors(devices: settings.devices))
        plan.trace = cell.trace?.layout
        return plan
    }
}
