import DmaReport
import Experiment
import Hypervisor
import PinLock
import Telemetry
import Turn

/// When the first requests and conversions of a turn were pinned, written, unpinned and carried out: a process of the
/// timeline for each turn, with a track for each device, for the vCPU that converts, and for the hypervisor.
///
/// A device's requests are laid one behind the other from when its first one began: a sample says how long each part took,
/// and how long the device paused before it. Under `bounce` a request is the sum of its passes through the pool.
final class Timeline {
    /// Of each device and turn.
    static let requestLimit = 1000
    /// Of each turn.
    static let conversionLimit = 1000
    /// Of a run. A turn is a megabyte at most for each device.
    static let turnLimit = 100

    private let file: TimelineFile
    private let clock: TickClock
    private var requests: [Int: [DMASample]] = [:]
    private var turns = 0

    init(_ path: String, clock: TickClock) throws(OutputError) {
        file = try TimelineFile(path)
        self.clock = clock
    }

    var isFull: Bool { turns >= Self.turnLimit }

    func took(_ sample: DMASample, device: DeviceID) {
        let index = Int(device.rawValue)
        guard !isFull, requests[index]?.count ?? 0 < Self.requestLimit else { return }
        requests[index, default: []].append(sample)
    }

    func finished(_ result: CellResult) throws(OutputError) {
        defer { requests.removeAll(keepingCapacity: true) }
        guard !isFull, case .measured(let outcome, _) = result.ending else { return }
        turns += 1
        let cell = result.cell
        file.name(
            process: turns,
            "round \(result.round): \(cell.strategy.info.name), \(cell.settings.size.bytes)")
        let starts = outcome.deviceStarts.map { nanoseconds($0) }
        let events = outcome.conversions.events
        let base = (starts.filter { $0 > 0 } + events.map { Double($0.due) }).min() ?? 0
        for (device, samples) in requests.sorted(by: { $0.key < $1.key }) {
            guard device < starts.count, starts[device] > 0 else { continue }
            file.name(process: turns, track: device, "device \(device)")
            lay(samples, on: device, from: starts[device] - base)
        }
        lay(events, behind: outcome.deviceStarts.count, base)
        try file.flush()
    }

    func close() throws(OutputError) { try file.close() }

    private func nanoseconds(_ ticks: UInt64) -> Double { clock.nanoseconds(from: ticks) }

    private func lay(_ samples: [DMASample], on track: Int, from start: Double) {
        var now = start
        for (index, sample) in samples.enumerated() {
            // The first one's pause was before the measurement.
            if index > 0 { now += nanoseconds(sample.gapTicks) }
            let (pin, write, unpin) = (
                nanoseconds(sample.pinTicks), nanoseconds(sample.writeTicks),
                nanoseconds(sample.unpinTicks)
            )
            let total = nanoseconds(sample.totalTicks)
            let isRefused = sample.status != 0
            file.span(
                isRefused ? "refused" : "request", process: turns, track: track, from: now,
                for: total,
                [
                    JSON.Member("request", JSON(sample.generation)),
                    JSON.Member("bytes", JSON(sample.bytes)),
                    JSON.Member("status", JSON(sample.status)),
                    JSON.Member("retries", JSON(sample.retries)),
                ])
            file.span("pin", process: turns, track: track, from: now, for: pin)
            file.span("write", process: turns, track: track, from: now + pin, for: write)
            // The ledger's check lies between the write and this.
            file.span("unpin", process: turns, track: track, from: now + total - unpin, for: unpin)
            now += total
        }
    }

    private func lay(_ events: [ConversionLog.Event], behind devices: Int, _ base: Double) {
        guard !events.isEmpty else { return }
        let (vcpu, hypervisor) = (devices, devices + 1)
        file.name(process: turns, track: vcpu, "vCPU: a conversion is due")
        file.name(process: turns, track: hypervisor, "hypervisor: page state changes")
        for event in events {
            let (due, begin, end) = (Double(event.due), Double(event.begin), Double(event.end))
            file.span(
                "due", process: turns, track: vcpu, from: due - base, for: max(0, end - due),
                [JSON.Member("ending", .string(event.ending.rawValue))])
            let name =
                switch event.ending {
                case .done: "conversion"
                case .waited, .revoked: "wait"
                case .denied, .busy: "denial"
                }
            file.span(
                name, process: turns, track: hypervisor, from: begin - base,
                for: max(0, end - begin))
        }
    }
}
