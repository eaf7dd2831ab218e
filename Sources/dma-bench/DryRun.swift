import DmaReport
import Experiment
import GuestMemory
import Settings

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
        let memory = plan.cells.map(\.map.pages).max()!
        let backings = plan.backings.map(\.rawValue).joined(separator: ",")
        return [
            "\(plan.cells.count) cells x \(request.rounds) rounds"
                + (runs > 1 ? " x \(runs) runs" : "") + " = \(plan.turnCount * runs) turns",
            "guest memory: \(memory.bytes)\(request.settings.writes ? "" : ", sparse"), backing \(backings)"
                + (request.settings.pinLimit.map { ", at most \($0.bytes) pinned at once" } ?? ""),
        ]
    }

    private var groups: [String] {
        plan.groups.enumerated().map { index, group in
            let cell = group[0]
            let order = plan.order(ofGroup: index, round: 1).map { cell in
                cell.strategy.info.name
                    + (cell.pool.map { " (pool \($0.bytes))" } ?? "")
                    + (cell.settings.cache.map { " (cache \($0.bytes))" } ?? "")
            }.joined(separator: ", ")
            let settings = cell.settings
            let misalignment = settings.misalignment
            let requests =
                cell.trace.map {
                    "trace \($0.label) of \($0.layout.count) requests in \(settings.size.bytes), speed "
                        + ValueForm.speed.word(settings.speed)
                }
                ?? "size \(settings.size.bytes), chunk \(cell.chunk.bytes), ranges \(settings.ranges)"
            return """
                \(requests), \
                \(misalignment == PageCount(0) ? "" : "misaligned by \(misalignment), ")devices \
                \(settings.devices), engine \(settings.stores ? settings.engine.rawValue : "none"), \(Self.load(settings))policy \
                \(settings.policy.rawValue), \(settings.convertRate) conversions/s of \(settings.convertPages) \
                \(settings.convertPlace.rawValue): \(order)
                """
        }
    }

    /// What differs from a device that writes all the time, one request after the other.
    private static func load(_ settings: TurnSettings) -> String {
        var parts: [String] = []
        if settings.loads {
            parts.append(
                "direction \(settings.direction), reads by \(settings.readEngine.rawValue)")
        }
        if settings.dmaRate != .max {
            parts.append("\(settings.dmaRate) DMAs/s due, \(settings.arrivals.rawValue)")
        }
        if settings.depth > 1 { parts.append("depth \(settings.depth)") }
        if settings.idleNanoseconds > 0 {
            parts.append("pauses of \(Human.duration(Double(settings.idleNanoseconds)))")
        }
        return parts.map { $0 + ", " }.joined()
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
