import DmaLinux
import GuestMemory
import Hypervisor
import PinLock
import Settings
import Telemetry
import Turn

/// What comes of broken rules under every strategy that claims safety.
public struct Outcomes {
    public enum Ending {
        case tried(Trial)
        case unavailable(String)
    }

    public let strategy: StrategyInfo
    public let ending: Ending

    /// A guest of one buffer of 64 KiB, and one device, for each strategy in turn.
    public static func all() throws(RunFailure) -> [Outcomes] {
        if let reason = Fault.unavailability(pinning: PageCount(0)) {
            throw .unavailable("outcomes: \(reason)")
        }
        var request = Request()
        request.settings.size = PageCount(16)
        request.settings.convertRate = 0
        request.vary(
            \.strategy, over: Registry.all.filter { $0.info.isSafe }.map { StrategyID($0) },
            option: "--strategy")
        let plan: Plan
        do throws(UsageError) {
            plan = try Plan(request)
        } catch {
            throw .usage(error)
        }
        let runner = try Runner(plan)
        let machine = try runner.makeMachine(.memfd, plan.cells, Unwatched())
        var outcomes: [Outcomes] = []
        for cell in plan.cells {
            outcomes.append(try of(cell, runner, machine))
        }
        return outcomes
    }

    private static func of(
        _ cell: Cell, _ runner: Runner, _ machine: VirtualMachine
    ) throws(RunFailure) -> Outcomes {
        let info = cell.strategy.info
        if let reason = runner.unavailability(of: cell) {
            return Outcomes(strategy: info, ending: .unavailable(reason))
        }
        do throws(MachineError) {
            return Outcomes(
                strategy: info,
                ending: .tried(try machine.trial(runner.turnPlan(cell, round: 1))))
        } catch {
            throw .machine(error)
        }
    }

    private final class Unwatched: RunObserver {
        let shouldStop = false
        let wantsSamples = false
        let eventLimit = 0
        func prefaulting(_ share: Double) {}
        func starting(_ cell: Cell, turn: Int, of turns: Int, round: Int) {}
        func repeating(_ cell: Cell, round: Int) {}
        func decided(_ verdict: StoppingRule.Verdict, on cells: [Cell], after round: Int) {}
        func took(_ sample: DMASample, _ cell: Cell, round: Int, device: DeviceID) {}
        func finished(_ result: CellResult) -> Bool { true }
    }
}
