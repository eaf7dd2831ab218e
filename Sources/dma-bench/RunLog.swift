import DmaReport
import Experiment
import Hypervisor
import PinLock
import Telemetry
import Turn

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
        rows += earlier.map(\.row)
    }

    var shouldStop: Bool { Interruption.isRequested }

    func prefaulting(_ share: Double) {
        show(cell: 1, of: 1, round: 1, "touching guest memory, \(Int(share * 100)) %")
    }

    func starting(_ cell: Cell, turn: Int, of turns: Int, round: Int) {
        show(
            cell: turn, of: turns, round: round,
            "\(cell.strategy.info.name) \(cell.settings.size.bytes)")
    }

    var wantsSamples: Bool { output.wantsSamples }
    var eventLimit: Int { output.eventLimit }

    func repeating(_ cell: Cell, round: Int) {
        say(
            "round \(round) of '\(cell.strategy.info.name)' \(cell.settings.size.bytes) is taken again: "
                + "somebody was stopped in it")
    }

    func decided(_ verdict: StoppingRule.Verdict, on cells: [Cell], after round: Int) {
        let backings = builder.plan.backings.count
        let backing = backings > 1 ? "\(cells[0].settings.backing.rawValue): " : ""
        func named(_ cell: Cell) -> String {
            "'\(cell.strategy.info.name)' \(cell.settings.size.bytes)"
        }
        switch verdict {
        case .goOn: break
        case .stable: say("\(ofRun)\(backing)stable after \(round) rounds")
        case .quiet(let wanted): say("\(wanted) undisturbed rounds of each after \(round)")
        case .unstable(let cell, let spread):
            let percent = (spread * 1000).rounded() / 10
            say(
                "\(ofRun)\(backing)not stable within \(round) rounds: \(named(cell)) +-\(percent) %"
            )
        case .disturbed(let cell, let found):
            say(
                "this machine is not quiet enough: after \(round) rounds \(named(cell)) has \(found) of "
                    + "\(builder.plan.request.quietRounds!)")
        }
    }

    func took(_ sample: DMASample, _ cell: Cell, round: Int, device: DeviceID) {
        output.raw(cell, round, device, sample)
    }

    func finished(_ result: CellResult) -> Bool {
        let row = builder.row(result, of: runner!)
        rows.append(row)
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
            try output.note(result)
            try output.write(row)
            return true
        } catch {
            outputFailure = error
            return false
        }
    }

    private var request: Request { builder.plan.request }

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
