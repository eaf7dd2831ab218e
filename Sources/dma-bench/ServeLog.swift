import DmaReport
import GuestMemory
import PinLock
import Service
import Telemetry

/// What a service leaves as it goes: rows in the output, what goes wrong in a line each, and progress on a terminal.
final class ServeLog: ServiceObserver {
    private var rows: [Row] = []
    private var builder: ServeRows
    private let output: ServeOutput
    private let isForPeople: Bool
    private var outputFailure: OutputError?
    private var complaint: String?
    var progress = Progress()

    init(_ builder: ServeRows, _ output: ServeOutput, isForPeople: Bool) {
        self.builder = builder
        self.output = output
        self.isForPeople = isForPeople
    }

    var shouldStop: Bool { Interruption.isRequested || outputFailure != nil || complaint != nil }

    func connected() { if isForPeople { say("a VMM has connected") } }

    func disconnected(_ why: ServiceEnd) {
        switch why {
        case .gone: if isForPeople { say("the VMM has gone") }
        case .refused(let reason): say("the connection was closed: \(reason)")
        case .tooMuchMemory(let pages):
            say(
                "the connection was closed: the guest has memory up to \(pages.bytes), above --memory-limit "
                    + "\(builder.request.pageLimit.bytes); raise that")
        case .died(let how): say("the device \(how); the VMM may connect again")
        case .stopped: break
        }
    }

    func starting(_ strategy: StrategyID, round: Int) {
        guard isForPeople else { return }
        progress.show(
            ["round \(round)", "\(rows.count) rows"], done: 0, of: 1,
            what: strategy.type.info.name)
    }

    func note(_ text: String) { say(text) }

    func finished(_ result: ServedResult) -> Bool {
        let row = builder.row(result)
        rows.append(row)
        if case .measured(let outcome) = result.ending, let found = outcome.complaint {
            complaint = "internal error: \(row.strategy): \(found)"
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

    func say(_ line: String) {
        progress.erase()
        Status.say("dma-bench: " + Text.printable(line))
    }

    /// The worst news, once all is over.
    func judge() throws {
        if let broken = rows.first(where: { $0.status == .violation }) {
            throw Failure(
                .safetyViolation,
                "strategy '\(broken.strategy)' claims safety, but pages were converted under its pins in round "
                    + "\(broken.round): violations_stale=\(broken.violationsStale ?? 0)")
        }
        if let complaint { throw Failure(.internalError, complaint) }
        if let outputFailure { throw outputFailure }
    }
}
