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

    private let plan: Plan
    private let builder: RowBuilder
    private let output: Output
    private let isForPeople: Bool

    init(plan: Plan, builder: RowBuilder, output: Output, isForPeople: Bool) {
        self.plan = plan
        self.builder = builder
        self.output = output
        self.isForPeople = isForPeople
    }

    var shouldStop: Bool { Interruption.isRequested }

    func prefaulting(_ share: Double) {
        show(cell: 1, round: 1, "touching guest memory, \(Int(share * 100)) %")
    }

    func starting(turn: Int, round: Int, _ cell: Cell) {
        show(
            cell: (turn - 1) % plan.cells.count + 1, round: round,
            "\(cell.strategy.info.name) \(cell.shape.size.bytes)")
    }

    func took(_ sample: DMASample, _ cell: Cell, round: Int, device: DeviceID) {
        output.raw(cell, round, device, sample)
    }

    func finished(_ result: CellResult) -> Bool {
        let row = builder.row(result)
        rows.append(row)
        switch result.ending {
        case .failed(let error): machineFailure = error
        case .unavailable: break
        case .measured(let outcome):
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

    private func show(cell: Int, round: Int, _ what: String) {
        guard isForPeople else { return }
        progress.show(
            cell: cell, of: plan.cells.count, round: round, of: plan.request.rounds, what: what)
    }
}
