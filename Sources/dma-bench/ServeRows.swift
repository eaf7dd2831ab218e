import DmaReport
import Experiment
import Glibc
import PinLock
import Service
import Settings
import Telemetry
import VirtualDevice

/// Turns what a turn at a real guest gave into a row. What a row of the harness's own guest has and this cannot is empty.
struct ServeRows {
    let request: ServiceRequest
    private let store: NamedStore
    private let planHash: String
    private let environment: Environment
    private let runName = Session.runName()
    private let clockCost: Double
    private let clockStep: Double
    /// Of all turns so far: what a core can do.
    private var probes = CoreProbeLog()

    init(
        _ request: ServiceRequest, store: NamedStore, planHash: String, environment: Environment,
        clock: TickClock
    ) {
        self.request = request
        self.store = store
        self.planHash = planHash
        self.environment = environment
        clockCost = clock.measuredCost()
        clockStep = clock.measuredStep()
    }

    mutating func row(_ result: ServedResult) -> Row {
        var row = planned(result)
        switch result.ending {
        case .unavailable(let reason): row.status = .unavailable(reason)
        case .died(let how, let pins, let refusal, let leaked):
            let rest =
                refusal.map { "its pins cannot be recovered: \($0)" }
                ?? "after recovery of its \(pins) pins leaked_pins is \(leaked)"
            row.status = .failed("\(how); \(rest)")
            row.leakedPins = UInt64(leaked)
        case .measured(let outcome): fill(&row, outcome, of: result.strategy.type)
        }
        return row
    }

    /// What was asked for.
    private func planned(_ result: ServedResult) -> Row {
        let (info, settings) = (result.strategy.type.info, request.settings)
        var row = Row()
        row.run = runName
        row.round = result.round
        row.position = result.position
        row.strategy = info.name
        row.safe = info.isSafe
        row.exclusion = info.exclusion
        row.policy = settings.policy.rawValue
        row.entryBytes = EntrySize.small.rawValue
        row.devices = 1
        row.convertRateHz = settings.convertRate.hertz.isFinite ? settings.convertRate.hertz : nil
        row.convertPages = settings.convertPages.rawValue
        row.convertWhere = settings.convertPlace.rawValue
        row.convertTo = "private"
        if settings.convertRate != 0 {
            row.convertLoop = settings.convertRate == .max ? "closed" : "open"
            row.convertWait = "poll"
            row.convertHoldNs = Double(request.hold)
        }
        row.notify = "eventfd"
        row.guest = "vhost-user"
        row.store = store.word
        row.queues = request.queues
        if request.store == .fill {
            row.engine = settings.engine.rawValue
            row.lanes = 1
        }
        if result.strategy.type.isCached { row.cacheBytes = request.cache.bytes.rawValue }
        row.clockNs = clockCost
        row.clockStepNs = clockStep
        row.env = environment.hash
        row.revision = environment.revision
        row.plan = planHash
        return row
    }

    private mutating func fill(
        _ row: inout Row, _ outcome: ServedTurnOutcome, of strategy: any PinStrategy.Type
    ) {
        let totals = outcome.totals
        row.fill(outcome.figures.requests)
        if request.store == .null {
            // Nothing was moved: there is no time for it, and no share of it.
            (row.writeNsP50, row.writeNsP99, row.writeNsMax) = (nil, nil, nil)
            (row.syncShare, row.writeBytesPerS) = (nil, nil)
        }
        if request.settings.convertRate != 0 {
            row.fill(outcome.conversions, knowsGaps: false)
            row.pinWaitNsMax =
                totals.longestWaitNanoseconds > 0 ? Double(totals.longestWaitNanoseconds) : nil
        }
        (row.inRequests, row.inBytes) = (totals.inRequests, totals.inBytes)
        (row.outRequests, row.outBytes) = (totals.outRequests, totals.outBytes)
        row.segmentsP50 = outcome.figures.segments.percentile(50)
        row.segmentsP99 = outcome.figures.segments.percentile(99)
        row.segmentsMax = outcome.figures.segments.maximum
        row.depthP50 = outcome.figures.depth.percentile(50)
        row.depthMax = outcome.figures.depth.maximum
        row.pageWaits = totals.pageWaits
        row.deviceCpuNs = Double(totals.processorNanoseconds)
        row.deviceBusy = outcome.busyShare.map { [($0 * 10_000).rounded() / 10_000] } ?? []
        fill(&row, interferenceOf: outcome)
        row.setupPinNs = outcome.setupPinNanoseconds
        row.setupPscNs = Double(outcome.setupPSCNanoseconds)
        row.leakedPins = UInt64(outcome.leakedPins)
        let stale = outcome.figures.requests.totals.stalePages
        row.violationsStale = stale
        if stale > 0, strategy.info.isSafe {
            row.status = .violation
        } else {
            row.status = outcome.wasCutShort ? .interrupted : .ok
        }
    }

    /// Nobody is bound to a processor: where device and vCPU ran in the end says little.
    private mutating func fill(_ row: inout Row, interferenceOf outcome: ServedTurnOutcome) {
        let threads = outcome.interference
        for thread in threads { probes.add(thread.probes) }
        row.fill(
            devices: Array(threads.prefix(1)), vcpus: Array(threads.dropFirst()),
            best: probes.best)
        row.throttledNs = outcome.throttledNanoseconds
        row.stops = (row.stops ?? 0) + outcome.harnessStops
        row.noisy = Disturbance.of(
            threads, best: probes.best, throttled: outcome.throttledNanoseconds,
            harnessStops: outcome.harnessStops
        ).map(\.rawValue)
    }
}
