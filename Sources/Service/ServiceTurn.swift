import DmaLinux
import Guest
import GuestMemory
import Hypervisor
import PinLock
import Synchronization
import Telemetry
import VirtualDevice

/// A strategy's turn at a device that serves: from a table of its own to its row. It is measured from its first request
/// on, so it waits for traffic.
final class ServiceTurn {
    private let service: GuestService
    private let device: ServedHandle
    private let states: PageStates
    private let strategy: StrategyID
    private let seed: UInt64
    private var host: PSCHost!
    private var port: PSCHandler!
    private var converter: ServedConverter!
    private var services: JoinableThread?
    private let serviceFailure = ServiceFailure()
    /// When it is over; nil before the first request.
    private var deadline: Deadline?
    private var end: ServiceEnd?
    private var setupPin = 0.0
    private var setupPSC: UInt64 = 0
    /// At the first request; until then at the turn's beginning.
    private var before = HarnessState()

    private final class ServiceFailure: Sendable {
        let error = Mutex<SystemError?>(nil)
    }

    /// How long a device may take for what is in flight, besides what a request may wait; and when it has to hurry.
    private static let endMilliseconds: UInt64 = 10_000
    private static let hurryMilliseconds: UInt64 = 400
    private static let napMilliseconds: UInt64 = 20

    private var request: ServiceRequest { service.request }

    init(
        _ service: GuestService, _ device: ServedHandle, _ states: PageStates,
        _ strategy: StrategyID, seed: UInt64
    ) {
        self.service = service
        self.device = device
        self.states = states
        self.strategy = strategy
        self.seed = seed
    }

    /// What the turn came to, nil where there is nothing to tell; and why the connection has ended, where it has.
    func run(
        _ observer: some ServiceObserver
    ) throws(SystemError) -> (ServedResult.Ending?, ServiceEnd?) {
        host = try service.guest.reset(
            strategy.type, policy: request.settings.policy, timeout: request.timeout)
        port = PSCHandler(host)
        converter = ServedConverter(
            host, clock: service.clock, request, seed: seed, telemetry: device.telemetry)
        let regions = states.regions
        states.startOver()
        shareRegions(regions, observer)
        device.telemetry.requests = 0
        try startService()
        device.tell(.begin(strategy, cache: request.cache))
        var hasBegun = false
        var totals: ServedTotals?
        var patience: Deadline?
        // A device that has not begun yet is waited for, also where all is to end.
        while end == nil, !hasBegun || !(isOver || observer.shouldStop) {
            try listen(milliseconds: Self.napMilliseconds, observer) { report in
                switch report {
                case .begun(let time): (hasBegun, setupPin) = (true, time)
                // The connection is about to end.
                case .ended(let what): totals = what
                default: break
                }
            }
            if let failure = serviceFailure.error.withLock({ $0 }) { throw failure }
            if observer.shouldStop, !hasBegun {
                patience = patience ?? .after(milliseconds: 2 * Self.hurryMilliseconds)
                if patience!.hasPassed { end = .stopped }
            }
            guard hasBegun, deadline == nil, device.telemetry.requests > 0 else { continue }
            deadline = .after(nanoseconds: request.turn)
            before = HarnessState()
            try converter.start(states.regions)
        }
        converter.stop()
        if end == nil {
            totals = try endTurn(observer)
            if observer.shouldStop { end = end ?? .stopped }
        }
        return (conclude(totals), end)
    }

    private var isOver: Bool { deadline?.hasPassed ?? false }

    // MARK: The end

    private func endTurn(_ observer: some ServiceObserver) throws(SystemError) -> ServedTotals? {
        device.tell(.end)
        var totals: ServedTotals?
        let hurry = Deadline.after(milliseconds: Self.hurryMilliseconds)
        let latest = Deadline.after(milliseconds: 2 * Self.hurryMilliseconds)
        let last = Deadline.after(milliseconds: Self.endMilliseconds + request.timeout / 1_000_000)
        while totals == nil, end == nil {
            try listen(milliseconds: Self.napMilliseconds, observer) { report in
                if case .ended(let what) = report { totals = what }
            }
            if observer.shouldStop, hurry.hasPassed {
                // Requests that still wait give up.
                device.telemetry.shouldStop = true
            }
            if observer.shouldStop && latest.hasPassed || last.hasPassed {
                device.process.terminate()
                end = .died("did not come to its end and was killed")
            }
        }
        converter.stop()
        return totals
    }

    private func conclude(_ totals: ServedTotals?) -> ServedResult.Ending? {
        guard let totals else {
            device.process.terminate()
            device.endService()
            services?.join()
            let pins = service.guest.arena.livePins
            var refusal: RecoveryRefusal?
            do throws(RecoveryRefusal) {
                try host.strategy.recover([DeviceID(0)], eachWithin: 1000)
            } catch {
                refusal = error
            }
            guard case .died(let how)? = end else { return nil }
            return .died(
                "device 0 (pid \(device.process.pid)) \(how)", pins: pins, refusal: refusal,
                leakedPins: service.guest.arena.livePins)
        }
        services?.join()
        guard deadline != nil else { return nil }
        var complaint: String?
        do throws(SystemError) { complaint = try host.strategy.audit() } catch {
            complaint = error.description
        }
        let meanwhile = HarnessState().since(before)
        return .measured(
            ServedTurnOutcome(
                figures: ServedFigures(device.telemetry), conversions: converter.takeLog(),
                totals: totals, setupPinNanoseconds: setupPin, setupPSCNanoseconds: setupPSC,
                leakedPins: service.guest.arena.livePins, complaint: complaint,
                interference: [totals.interference] + [converter.interference].compactMap(\.self),
                throttledNanoseconds: meanwhile.throttledNanoseconds,
                harnessStops: meanwhile.stops,
                wasCutShort: !isOver))
    }

    // MARK: What the device says

    private func listen(
        milliseconds: UInt64, _ observer: some ServiceObserver, _ other: (ServedReport) -> Void
    ) throws(SystemError) {
        let (report, text): (ServedReport, String)
        switch try device.listen(milliseconds: milliseconds) {
        case .nothing: return
        case .death(let how):
            end = .died(how)
            return
        case .report(let what, let words): (report, text) = (what, words)
        }
        switch report {
        case .begun, .ended: other(report)
        case .memoryChanged: try changeMemory(observer)
        case .share(let range):
            states.share(range, port)
            device.tell(.shared)
        case .queueLost: observer.note(text)
        case .closed: end = text.isEmpty ? .gone : .refused(text)
        case .tooMuchMemory(let pages): end = .tooMuchMemory(pages)
        case .failed: end = .died(text)
        }
    }

    /// Nobody converts and nobody is served meanwhile: the device has no pins.
    private func changeMemory(_ observer: some ServiceObserver) throws(SystemError) {
        converter.stop()
        services?.join()
        shareRegions(device.telemetry.regions, observer)
        try startService()
        device.tell(.memoryReady)
        if deadline != nil { try converter.start(states.regions) }
    }

    private func shareRegions(_ regions: [PageRange], _ observer: some ServiceObserver) {
        let start = monotonicNanoseconds()
        if let refusal = states.change(to: regions, port, shouldStop: { observer.shouldStop }) {
            observer.note("internal error: pages of guest memory cannot be shared: \(refusal)")
        }
        setupPSC += monotonicNanoseconds() - start
    }

    /// The hypervisor's side of a strategy whose devices ask it.
    private func startService() throws(SystemError) {
        guard strategy.type.info.isServed else { return }
        let (device, strategy, failure) = (device, host.strategy, serviceFailure)
        services = JoinableThread(
            try WorkerThread(name: "serve-0") {
                do throws(SystemError) { try device.serve(strategy) } catch {
                    failure.error.withLock { $0 = error }
                    device.endService()
                }
            })
    }
}
