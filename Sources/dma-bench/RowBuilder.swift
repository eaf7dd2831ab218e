import DmaReport
import Experiment
import Hypervisor
import PinLock
import Telemetry
import Turn

/// Turns what a cell gave into a row of the report.
struct RowBuilder {
    var runName: String
    let environment: Environment
    let plan: Plan
    let planHash: String

    init(runName: String, environment: Environment, plan: Plan) {
        self.runName = runName
        self.environment = environment
        self.plan = plan
        planHash = Text.hash(plan.request.identity)
    }

    /// What was asked for, with nothing measured.
    func planned(_ cell: Cell, round: Int, position: Int) -> Row {
        let info = cell.strategy.info
        var row = Row()
        row.run = runName
        row.round = round
        row.position = position
        row.strategy = info.name
        row.safe = info.isSafe
        row.exclusion = info.exclusion
        for option in DmaBench.requestOptions { option.fill(cell, &row) }
        if cell.trace != nil {
            // Requests have any size: that of the buffer says nothing of them.
            row.guest = "trace"
            (row.sizeBytes, row.ranges, row.spreadBytes, row.misalignBytes) = (nil, nil, nil, nil)
            if cell.chunk >= cell.settings.size { row.chunkBytes = nil }
            // No option says it, and how many requests went which way is counted.
            row.direction = nil
            if cell.settings.speed != .max { row.depth = nil }
        }
        row.env = environment.hash
        row.revision = environment.revision
        row.plan = planHash
        return row
    }

    func row(_ result: CellResult, of runner: Runner) -> Row {
        let cell = result.cell
        var row = planned(cell, round: result.round, position: result.position)
        row.sharedPages = cell.map.sharedPages.rawValue
        row.sharedLines = cell.map.sharedLines(
            entryByteCount: UInt64(RMPTable.entryByteCount))
        row.memoryNode = runner.memoryNode
        let processors = runner.processors(devices: cell.settings.devices)
        row.deviceCpu = processors.devices
        row.vcpuCpu = processors.vcpus
        row.notify =
            processors.vcpusSleep ? "eventfd" : processors.devicesSleep ? "devices" : "poll"
        row.metadataBytes = UInt64(cell.strategy.metadataByteCount(pages: cell.map.pages))
        row.clockNs = runner.clockNanoseconds
        row.clockStepNs = runner.clockStepNanoseconds
        switch result.ending {
        case .measured(let outcome, let disturbances):
            fill(&row, outcome, of: cell)
            fill(&row, interferenceOf: outcome, best: runner.probes.best)
            row.noisy = disturbances.map(\.rawValue)
        case .unavailable(let reason): row.status = .unavailable(reason)
        case .failed(let error):
            row.status = .failed(error.description)
            if case .recovered(_, _, let leaked) = error { row.leakedPins = UInt64(leaked) }
        }
        return row
    }

    private func fill(_ row: inout Row, _ outcome: TurnOutcome, of cell: Cell) {
        row.fill(outcome.measurements.requests)
        row.pairHotNs = outcome.hotPair.nanoseconds
        row.setupPscNs = Double(outcome.setupPSCNanoseconds)
        row.setupPinNs = outcome.setupPinNanoseconds
        row.splits = outcome.splits
        row.copyNsP50 = outcome.copyMedian.map { Double($0) }
        row.dueNsP50 = outcome.dues?.median.map { Double($0) }
        row.dueNsP99 = outcome.dues?.percentile99.map { Double($0) }
        row.backlogMax = outcome.dues?.longestBacklog
        // What a device waits for a request that is not due yet is nobody's cost.
        if outcome.dues != nil { row.outsideShare = nil }
        if let replay = outcome.replay { row.fill(replay) }
        row.leakedPins = UInt64(outcome.leakedPins)
        row.faults = outcome.faults?.count
        row.lostBytes = outcome.lostBytes
        row.surprises = outcome.takenBack
        if let faults = outcome.faults, faults.count > 0 {
            row.recoveryNsMean = Double(faults.recoveryNanoseconds) / Double(faults.count)
            row.recoveryNsMax = Double(faults.longestRecoveryNanoseconds)
        }
        row.cacheHits = outcome.cache?.hits
        row.cacheMisses = outcome.cache?.misses
        row.cacheMerges = outcome.cache?.merges
        row.cacheInvalidations = outcome.cache?.invalidations
        row.cacheEvictions = outcome.cache?.evictions
        row.violationsPrivate = outcome.violationsPrivate
        row.violationsStale = outcome.violationsStale
        if cell.settings.convertRate != 0 {
            row.fill(
                outcome.conversions, knowsGaps: !plan.request.settings.converterBlocks)
            row.pinWaitNsMax = outcome.longestPinWait.map { Double($0) }
        }
        let violated = (outcome.violationsPrivate ?? 0) > 0 || outcome.violationsStale > 0
        if violated, cell.strategy.info.isSafe {
            row.status = .violation
        } else {
            row.status = outcome.wasInterrupted ? .interrupted : .ok
        }
    }

    private func fill(_ row: inout Row, interferenceOf outcome: TurnOutcome, best: Double?) {
        let (devices, vcpus) = (outcome.measurements.interference, outcome.vcpus)
        row.deviceBusy = outcome.utilisation.map { ($0 * 10_000).rounded() / 10_000 }
        row.fill(devices: devices, vcpus: vcpus, best: best)
        row.vcpuStepNsMax = outcome.longestVCPUStep
        row.throttledNs = outcome.throttledNanoseconds
        row.stops = (row.stops ?? 0) + outcome.harnessStops
    }
}
