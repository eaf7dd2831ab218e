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
        case measured(TurnOutcome)
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
    public let noisy: [String]
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
    /// The share of guest memory that has been touched.
    func prefaulting(_ share: Double)
    /// The turn is counted from 1, within its round on its backing.
    func starting(_ cell: Cell, turn: Int, of turns: Int, round: Int)
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
    /// Where the devices are, in turns.
    public let deviceProcessors: [Int]
    public let vcpuProcessor: Int
    public private(set) var calibration: Calibration?
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
        } catch {
            throw .machine(.system(error))
        }
        machineProcessors = allowed
        let vcpu =
            try Self.processor(
                plan.request.vcpuProcessor, option: "--vcpu-cpu", among: allowed) ?? allowed[0]
        // Every processor but the vCPUs', the next one first; the one there is where there is no other.
        let others = allowed.filter { $0 > vcpu } + allowed.filter { $0 < vcpu }
        let chosen = try Self.processor(
            plan.request.deviceProcessor, option: "--device-cpu", among: allowed)
        deviceProcessors = chosen.map { [$0] } ?? (others.isEmpty ? [vcpu] : others)
        vcpuProcessor = vcpu
        clock = TickClock.calibrated()
        clockNanoseconds = clock.measuredCost()
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

    private static func processor(
        _ wanted: Int?, option: String, among allowed: [Int]
    ) throws(RunFailure) -> Int? {
        guard let wanted else { return nil }
        guard allowed.contains(wanted) else {
            throw .usage(
                UsageError(
                    "\(option) \(wanted): this process may run on CPU "
                        + allowed.map(String.init).joined(separator: ", ") + "; choose one of them")
            )
        }
        return wanted
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
        // A machine binds this thread to a processor; whoever comes next is as free as this one was.
        defer { try? Processors.allow(machineProcessors) }
        for backing in plan.backings {
            guard try run(backing, watchedBy: observer) else { return false }
        }
        return true
    }

    private func run(
        _ backing: Backing, watchedBy observer: some RunObserver
    ) throws(RunFailure) -> Bool {
        var machine: VirtualMachine?
        for round in 1...plan.request.rounds {
            let turns = plan.round(round, on: backing)
            for (index, (cell, position)) in turns.enumerated()
            where !done.contains(Plan.Turn(cell, round: round)) {
                if observer.shouldStop { return false }
                if machine == nil {
                    machine = try makeMachine(backing, turns.map(\.cell), observer)
                    if calibration == nil { calibration = try calibrate() }
                }
                observer.starting(cell, turn: index + 1, of: turns.count, round: round)
                let result = runTurn(machine!, cell, round: round, position: position, observer)
                guard observer.finished(result) else { return false }
                if case .failed = result.ending { return false }
            }
            if observer.isEnough(of: turns.map(\.cell), round: round) { break }
        }
        return true
    }

    private func runTurn(
        _ machine: VirtualMachine, _ cell: Cell, round: Int, position: Int,
        _ observer: some RunObserver
    ) -> CellResult {
        var noisy: [String] = []
        if calibration?.isNoisy == true { noisy.append("cpu") }
        let ending: CellResult.Ending
        if let reason = unavailability(of: cell) {
            return CellResult(
                cell: cell, round: round, position: position, ending: .unavailable(reason),
                noisy: noisy)
        }
        do throws(MachineError) {
            let outcome = try machine.run(
                turnPlan(cell, round: round), shouldStop: { observer.shouldStop },
                onSample: { observer.took($1, cell, round: round, device: $0) })
            if !outcome.warmedUp { noisy.append("warmup") }
            if outcome.stalls > 0 { noisy.append("samples") }
            ending = .measured(outcome)
        } catch {
            ending = .failed(error)
        }
        return CellResult(
            cell: cell, round: round, position: position, ending: ending, noisy: noisy)
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
        var turn = TurnPlan(strategy: cell.strategy, map: cell.shape.map)
        turn.policy = cell.policy
        turn.entrySize = request.entrySize
        turn.engine = cell.engine
        turn.lanes = request.lanes
        turn.writes = request.writes
        turn.chunk = cell.chunk
        if let cache = cell.cache { turn.cache = cache }
        turn.pinLimit = request.pinLimit
        turn.usesEventfd = request.usesEventfd
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
        }
        return turn
    }
}
