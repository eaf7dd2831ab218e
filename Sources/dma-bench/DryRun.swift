import Experiment
import GuestMemory
import Report

/// What a run would do, run nothing: its cells, their order, its memory and how long it may take.
struct DryRun {
    private let plan: Plan
    private let runs: Int

    init(_ plan: Plan, runs: Int = 1) {
        self.plan = plan
        self.runs = runs
    }

    func print() throws {
        try Status.print((header + groups + machine).joined(separator: "\n") + "\n")
    }

    private var header: [String] {
        let request = plan.request
        let memory = plan.cells.map(\.shape.map.pages).max()!
        let backings = plan.backings.map(\.rawValue).joined(separator: ",")
        return [
            "\(plan.cells.count) cells x \(request.rounds) rounds"
                + (runs > 1 ? " x \(runs) runs" : "") + " = \(plan.turnCount * runs) turns",
            "guest memory: \(memory.bytes)\(request.writes ? "" : ", sparse"), backing \(backings)"
                + (request.pinLimit.map { ", at most \($0.bytes) pinned at once" } ?? ""),
        ]
    }

    private var groups: [String] {
        let request = plan.request
        return plan.groups.enumerated().map { index, group in
            let cell = group[0]
            let order = plan.order(ofGroup: index, round: 1).map { cell in
                cell.strategy.info.name
                    + (cell.shape.pool.map { " (pool \($0.bytes))" } ?? "")
                    + (cell.cache.map { " (cache \($0.bytes))" } ?? "")
            }.joined(separator: ", ")
            let misalignment = cell.shape.misalignment
            return """
                size \(cell.shape.size.bytes), chunk \(cell.chunk.bytes), ranges \(cell.shape.ranges), \
                \(misalignment == PageCount(0) ? "" : "misaligned by \(misalignment), ")devices \
                \(cell.shape.devices), engine \(request.writes ? cell.engine.rawValue : "none"), policy \
                \(cell.policy.rawValue), \(cell.convertRate) conversions/s of \(cell.convertPages) \
                \(request.convertPlace.rawValue): \(order)
                """
        }
    }

    /// What depends on the machine, and on the moment.
    private var machine: [String] {
        var lines: [String] = []
        for backing in plan.backings {
            let metadata = Runner.metadata(plan, on: backing).rounded
            do throws(RunFailure) {
                try Runner.checkMemory(plan, backing)
                lines.append("memory here: \(backing.rawValue) fits, with \(metadata) of metadata")
            } catch {
                lines.append("memory here: does not fit: \(error)")
            }
        }
        guard let estimate = try? Estimate(plan) else { return lines }
        let limit = plan.request.tolerance == nil ? "" : "at most "
        lines.append(
            """
            expected time: \(limit)\(Progress.clock(nanoseconds: estimate.nanoseconds * Double(runs))), of which touching memory \
            \(Progress.clock(nanoseconds: estimate.prefaultNanoseconds * Double(runs))); an estimate from \
            \(Estimate.probeBytes.rounded) touched and written here just now, without the cost of locking
            """)
        return lines
    }
}
