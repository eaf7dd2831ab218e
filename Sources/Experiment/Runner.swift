import DmaWriter
import GuestMemory
import Hypervisor
import Linux
import PinLock
import Telemetry
import VirtualDevice

/// What came of one cell in one round.
public struct CellResult {
    public enum Ending {
        /// With where its devices and vCPUs were to run.
        case measured(TurnOutcome, ProcessorLayout)
        case failed(MachineError)
        /// The machine lacks what the strategy needs.
        case unavailable(String)
    }

    public let cell: Cell
    /// Counted from 1.
    public let round: Int
    /// The strategy's place in the round's order, counted from 1.
    public let position: Int
    public let ending: Ending
}

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

/// Who watches a run.
public protocol RunObserver: AnyObject {
    /// Whether the run should end with what it has; asked often.
    var shouldStop: Bool { get }
    /// Whether each DMA is to be told of; devices wait while it is.
    var wantsSamples: Bool { get }
    /// The share of guest memory that has been touched.
    func prefaulting(_ share: Double)
    /// The turn is counted from 1, within its round on its backing.
    func starting(_ cell: Cell, turn: Int, of turns: Int, round: Int)
    /// The turn begins anew: somebody was stopped in it.
    func repeating(_ cell: Cell, round: Int)
    /// Whether the cells have been measured often enough; asked after each round.
    func isEnough(of cells: [Cell], round: Int) -> Bool
    /// One measured DMA.
    func took(_ sample: DMASample, _ cell: Cell, round: Int, device: DeviceID)
    /// The result of a turn; false ends the run.
    func finished(_ result: CellResult) -> Bool
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
    /// Why strategies cannot run here, by their names.
    private var unavailable: [String: String] = [:]

    /// Checks what can be checked before anything is touched.
    ///
    /// Turns of `done` are left out.
    public init(_ plan: Plan, done: Set<Plan.Turn> = []) throws(RunFailure) {
        self.plan = plan
        self.done = done
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
        for engine in plan.request.engines where !engine.isAvailable {
            throw .unavailable(
                "--engine \(engine.rawValue): this processor has no such instructions; use memset")
        }
        if let node = plan.request.memoryNode { _ = try Self.placement(node) }
        if plan.request.enforces, let reason = Fault.unavailability(pinning: PageCount(0)) {
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
        let pinned = plan.cells.map { $0.shape.map.buffers.reduce(0) { $0 + $1.pages.rawValue } }
        for strategy in plan.request.strategies {
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
        wishes.sleeps = plan.request.usesEventfd
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
        let rounds = plan.request.rounds * (plan.request.quietRounds == nil ? 1 : Self.patience)
        for round in 1...rounds {
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
                guard observer.finished(result) else { return false }
                if case .failed = result.ending { return false }
            }
            if observer.isEnough(of: turns.map(\.cell), round: round) { break }
        }
        return true
    }

    /// With `--quiet-only` rounds go on for so many times `--rounds`.
    public static let patience = 4
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
                return result(.measured(outcome, turn.processors))
            } catch {
                if case .interrupted = error { return nil }
                return result(.failed(error))
            }
        }
        return nil
    }

    func unavailability(of cell: Cell) -> String? {
        if let reason = unavailable[cell.strategy.info.name] { return reason }
        guard cell.strategy.info.exclusion == .faults, plan.request.writes,
            cell.shape.backing.isHugetlb
        else { return nil }
        return "page tables protect huge pages as a whole; use --backing memfd or thp"
    }

    func turnPlan(_ cell: Cell, round: Int) -> TurnPlan {
        let request = plan.request
        var turn = TurnPlan(
            strategy: cell.strategy, map: cell.shape.map,
            processors: processors(devices: cell.shape.devices))
        turn.policy = cell.policy
        turn.entrySize = request.entrySize
        turn.engine = cell.engine
        turn.lanes = request.lanes
        turn.writes = request.writes
        turn.chunk = cell.chunk
        if let cache = cell.cache { turn.cache = cache }
        turn.pinLimit = request.pinLimit
        turn.converterBlocks = request.converterBlocks
        turn.convertRate = cell.convertRate.hertz
        turn.convertPages = cell.convertPages
        turn.convertPlace = request.convertPlace
        turn.frees = request.frees
        turn.enforces = request.enforces
        turn.faultPolicy = request.faultPolicy
        turn.slowdown = request.slowdown
        // The same conversions for every strategy of a round, others in each round.
        turn.seed = request.seed &+ UInt64(round)
        if let seconds = request.seconds {
            turn.nanoseconds = UInt64(seconds * 1e9)
            turn.nanosecondLimit = turn.nanoseconds
            turn.operations = 1
        } else if let operations = request.operations {
            turn.nanoseconds = 0
            turn.nanosecondLimit = .max
            turn.operations = operations
            turn.isExact = true
        }
        return turn
    }
}
