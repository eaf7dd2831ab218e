import Experiment
import Hypervisor
import PinLock
import Report
import Telemetry

/// What a run leaves as it goes: rows in the output, a line of progress, and why it ended if it did.
final class RunLog: RunObserver {
    private(set) var rows: [Row] = []
    private(set) var outputFailure: OutputError?
    private(set) var machineFailure: MachineError?
    /// The first violation of a strategy that claims safety: which page, and who wrote it.
    private(set) var firstViolation: String?
    var progress = Progress()

    private var runner: Runner?
    private var builder: RowBuilder
    private let output: Output
    private let isForPeople: Bool
    private let runs: Int
    private var run = 1
    private var stability = Stability()
    /// Rounds of each cell, by its place in the plan, that nothing disturbed.
    private var quiet: [Int: Int] = [:]

    init(builder: RowBuilder, output: Output, isForPeople: Bool, runs: Int) {
        self.builder = builder
        self.output = output
        self.isForPeople = isForPeople
        self.runs = runs
    }

    /// The next run starts, counted from 1; `earlier` is what it has measured before it was stopped.
    func start(run: Int, named name: String, _ runner: Runner, earlier: [EarlierRow]) {
        self.run = run
        self.runner = runner
        builder.runName = name
        stability = Stability()
        rows += earlier.map(\.row)
        for (turn, row) in earlier { note(turn, row) }
    }

    var shouldStop: Bool { Interruption.isRequested }

    func prefaulting(_ share: Double) {
        show(cell: 1, of: 1, round: 1, "touching guest memory, \(Int(share * 100)) %")
    }

    func starting(_ cell: Cell, turn: Int, of turns: Int, round: Int) {
        show(
            cell: turn, of: turns, round: round,
            "\(cell.strategy.info.name) \(cell.shape.size.bytes)")
    }

    var wantsSamples: Bool { output.wantsSamples }

    func repeating(_ cell: Cell, round: Int) {
        say(
            "round \(round) of '\(cell.strategy.info.name)' \(cell.shape.size.bytes) is taken again: "
                + "somebody was stopped in it")
    }

    func isEnough(of cells: [Cell], round: Int) -> Bool {
        if let wanted = request.quietRounds { return isQuiet(cells, round, wanted) }
        guard let tolerance = request.tolerance, round >= Stability.leastRounds else {
            return false
        }
        let worst = stability.worst(of: cells, rounds: round)
        let isStable = (worst?.spread ?? 0) <= tolerance
        let backing = request.backings.count > 1 ? "\(cells[0].shape.backing.rawValue): " : ""
        if isStable {
            say("\(ofRun)\(backing)stable after \(round) rounds")
        } else if round == request.rounds, let (cell, spread) = worst {
            let percent = (spread * 1000).rounded() / 10
            say(
                "\(ofRun)\(backing)not stable within \(round) rounds: '\(cell.strategy.info.name)' "
                    + "\(cell.shape.size.bytes) +-\(percent) %")
        }
        return isStable
    }

    /// Whether every cell has so many rounds that nothing disturbed; says so, and where the rounds are over without.
    private func isQuiet(_ cells: [Cell], _ round: Int, _ wanted: Int) -> Bool {
        let fewest = cells.min { quiet[$0.index, default: 0] < quiet[$1.index, default: 0] }
        guard let fewest else { return true }
        let found = quiet[fewest.index, default: 0]
        if found >= wanted {
            say("\(wanted) undisturbed rounds of each after \(round)")
            return true
        }
        if round == request.rounds * Runner.patience {
            say(
                "this machine is not quiet enough: after \(round) rounds "
                    + "'\(fewest.strategy.info.name)' \(fewest.shape.size.bytes) has \(found) of \(wanted)"
            )
        }
        return false
    }

    func took(_ sample: DMASample, _ cell: Cell, round: Int, device: DeviceID) {
        output.raw(cell, round, device, sample)
    }

    func finished(_ result: CellResult) -> Bool {
        let row = builder.row(result, of: runner!)
        rows.append(row)
        note(Plan.Turn(result.cell, round: result.round), row)
        switch result.ending {
        case .failed(let error): machineFailure = error
        case .unavailable: break
        case .measured(let outcome, _):
            if row.status == .violation {
                firstViolation = firstViolation ?? outcome.firstViolation
            }
        }
        progress.erase()
        do throws(OutputError) {
            try output.write(row)
            return true
        } catch {
            outputFailure = error
            return false
        }
    }

    private var request: Request { builder.plan.request }

    /// What is to become stable: the time of a DMA, or that of the locking where nothing is written.
    private func note(_ turn: Plan.Turn, _ row: Row) {
        if row.noisy.isEmpty { quiet[turn.cell, default: 0] += 1 }
        guard row.status == .ok || row.status == .violation else { return }
        if let figure = request.writes ? row.dmaNsP50 : row.pairHotNs {
            stability.note(turn, figure)
        }
    }

    private func say(_ line: String) {
        progress.erase()
        Status.say("dma-bench: " + line)
    }

    private func show(cell: Int, of cells: Int, round: Int, _ what: String) {
        guard isForPeople else { return }
        let perRun = Double(cells) * Double(request.rounds)
        progress.show(
            (runs > 1 ? ["run \(run) of \(runs)"] : [])
                + ["cell \(cell) of \(cells)", "round \(round) of \(request.rounds)"],
            done: Double(run - 1) * perRun + Double(round - 1) * Double(cells) + Double(cell - 1),
            of: Double(runs) * perRun, what: what)
    }

    private var ofRun: String { runs > 1 ? "run \(run): " : "" }
}
