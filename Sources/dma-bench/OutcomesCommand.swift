import ArgumentParser
import DmaLinux
import DmaReport
import Experiment
import Hypervisor
import Turn

/// What the thread asked would happen: a table of what does.
struct OutcomesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "outcomes",
        abstract:
            "Let a device and a vCPU break the rules, under every safe strategy, and show what happens.",
        discussion: """
            A device writes to a private page, by its own store and through the kernel, with private pages \
            write-protected in it (--enforce mmu). A vCPU uses a shared page as a private one. The other vCPU must run \
            on, and no private page may change. Exit status 4 where one does.
            """)

    func run() throws {
        let outcomes: [Outcomes]
        do throws(RunFailure) {
            outcomes = try Outcomes.all()
        } catch {
            throw Failure(error)
        }
        let header = [
            "strategy", "pin of a private page", "device's store", "read(2)", "io_uring",
            "vCPU, wrong type", "other vCPU", "damage",
        ]
        try Status.print(Text.aligned([header] + outcomes.map(Self.line)))
        let broken = outcomes.filter {
            if case .tried(let trial) = $0.ending { !trial.isAsPromised } else { false }
        }
        guard let first = broken.first else { return }
        throw Failure(.safetyViolation, "\(first.strategy.name): not every wrong write was stopped")
    }

    private static func line(_ outcome: Outcomes) -> [String] {
        switch outcome.ending {
        case .unavailable(let reason): return [outcome.strategy.name, "unavailable: \(reason)"]
        case .tried(let trial):
            let attack = trial.attack
            return [
                outcome.strategy.name,
                attack.wasPinned ? "given" : "refused",
                attack.storedBytes == 0 ? "SIGBUS, caught" : "wrote \(attack.storedBytes) bytes",
                result(attack.readResult), result(attack.uringResult),
                trial.stoppedVCPU.map { "stopped at \($0)" } ?? "ran on",
                "\(trial.conversions) of \(trial.conversionsAsked) conversions",
                trial.violations == 0 ? "none" : "\(trial.violations) pages",
            ]
        }
    }

    private static func result(_ value: Int64) -> String {
        value < 0 ? SystemError.message(Int32(clamping: -value)) : "wrote \(value) bytes"
    }
}
