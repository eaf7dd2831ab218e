import Hypervisor
import Telemetry
import Turn

/// What disturbed a turn so much that its figures show it: the words of the column `noisy`.
///
/// A threshold is where work done or the tail of the conversions begins to suffer, which medians long do not:
/// docs/measuring.md has the figures behind those of time.
public enum Disturbance: String, CaseIterable, Sendable {
    /// Two processors do not do the work of two: they are threads of one core, or somebody else has one of them.
    case cpu
    /// Time was taken from a thread that polled, and the kernel need not know by whom.
    case gaps
    /// The core's other hardware thread was busy.
    case sibling
    /// A thread waited for its processor, since another one of this machine had it.
    case waiting
    /// A CPU quota kept the processes from running.
    case throttled
    /// A thread met page faults within its measured time.
    case faults
    /// A thread ran elsewhere than it was to.
    case moved
    /// Somebody was stopped, and gone on.
    case stopped
    /// More devices and vCPUs than processors: the guest's side shows the scheduler.
    case oversubscribed
    /// Memory did not settle before the measurement.
    case warmup
    /// A device waited for the harness to take its samples.
    case samples

    /// Gaps and waiting: so much of the time.
    public static let timeShare = 0.02
    /// So many of the looks at the core found it shared.
    public static let sharedShare = 0.1
    /// So many page faults of a thread: a few come of the harness's own first touches.
    public static let fewFaults: UInt64 = 16

    /// What disturbed a turn, of all its devices and vCPUs; `best` is the most that a core has done in this run.
    public static func of(
        _ outcome: TurnOutcome, _ processors: ProcessorLayout, best: Double?,
        _ calibration: Calibration?
    ) -> [Disturbance] {
        let devices = outcome.measurements.interference
        let threads = devices + outcome.vcpus
        let asked = processors.devices + processors.vcpus
        var found = Set(
            of(
                threads, best: best, throttled: outcome.throttledNanoseconds,
                harnessStops: outcome.harnessStops))
        let more: [(Disturbance, Bool)] = [
            (.cpu, calibration?.isNoisy == true),
            (.sibling, !outcome.hotPair.isUndisturbed),
            (.moved, zip(threads, asked).contains { $0.processor != $1 }),
            (.oversubscribed, processors.isOversubscribed),
            (.warmup, !outcome.warmedUp),
            (.samples, outcome.stalls > 0),
        ]
        for (disturbance, isThere) in more where isThere { found.insert(disturbance) }
        return allCases.filter(found.contains)
    }

    /// What disturbed threads, wherever they ran.
    public static func of(
        _ threads: [Interference], best: Double?, throttled: UInt64?, harnessStops: UInt64
    ) -> [Disturbance] {
        func any(_ condition: (Interference) -> Bool) -> Bool { threads.contains(where: condition) }
        let found: [(Disturbance, Bool)] = [
            (.gaps, any { ($0.gapShare ?? 0) > timeShare }),
            (.sibling, any { $0.sharedShare(best: best) ?? 0 > sharedShare }),
            (.waiting, any { ($0.waitShare ?? 0) > timeShare }),
            (.throttled, (throttled ?? 0) > 0),
            (.faults, any { $0.kernel.minorFaults > fewFaults }),
            (.stopped, harnessStops > 0 || any { $0.stops > 0 }),
        ]
        return found.filter(\.1).map(\.0)
    }
}

extension Interference {
    /// The share of the looks at the core that found its other thread busy; nil without looks.
    public func sharedShare(best: Double?) -> Double? {
        guard let best else { return nil }
        return probes.share(below: CoreProbeLog.sharedBelow * best)
    }
}
