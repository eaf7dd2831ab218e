import DmaLinux
import DmaStatistics
import Guest
import GuestMemory
import Hypervisor
import PinLock
import Settings
import Telemetry
import VirtualDevice

/// The converter beside a guest that knows nothing of it: a vCPU with this one program, on a thread that sleeps between
/// two conversions.
final class ServedConverter {
    private let port: PSCHandler
    private let clock: TickClock
    private let request: ServiceRequest
    private let telemetry: ServedTelemetry
    private let seed: UInt64
    private var running: (control: TurnControl, vcpu: VCPU, thread: JoinableThread)?
    /// What kept its vCPU from its work, from its last start to its last stop; nil where it never ran.
    private(set) var interference: Interference?
    private var starts: UInt64 = 0

    init(
        _ host: PSCHost, clock: TickClock, _ request: ServiceRequest, seed: UInt64,
        telemetry: ServedTelemetry
    ) {
        port = PSCHandler(host)
        self.clock = clock
        self.request = request
        self.seed = seed
        self.telemetry = telemetry
    }

    /// Converts pages of these regions from now on.
    func start(_ regions: [PageRange]) throws(SystemError) {
        guard running == nil, request.settings.convertRate != 0, !regions.isEmpty else { return }
        let control = TurnControl(measuringFrom: clock.now())
        starts += 1
        let targets = ServedTargets(
            regions, pages: request.settings.convertPages.rawValue,
            place: request.settings.convertPlace, telemetry: telemetry)
        let program = Converter(
            rate: request.settings.convertRate.hertz, hold: request.hold,
            seed: seed &+ starts << 32,
            clock: clock, hypercalls: port, control: control, pick: targets.pick)
        let vcpu = VCPU(
            [program], clock: clock, control: control, idling: .sleep { DmaLinux.sleep(until: $0) })
        let thread = try WorkerThread(name: "vcpu-0") {
            Processors.sharpenTimers()
            vcpu.run()
        }
        running = (control, vcpu, JoinableThread(thread))
    }

    /// Waits until all pages are as they were, and nothing is converted any more.
    func stop() {
        guard let (control, vcpu, thread) = running else { return }
        control.end()
        thread.join()
        interference = vcpu.interference
        running = nil
    }

    /// What became of the conversions, once it has stopped.
    func takeLog() -> ConversionLog { port.takeLog() }
}

/// Which pages are converted: inside, those that requests have named last; outside, any of the guest's.
private struct ServedTargets {
    private let regions: [PageRange]
    private let total: UInt64
    private let pages: UInt64
    private let place: ConversionPlace
    private let telemetry: ServedTelemetry

    init(
        _ regions: [PageRange], pages: UInt64, place: ConversionPlace, telemetry: ServedTelemetry
    ) {
        self.regions = regions.filter { $0.count.rawValue >= pages }
        total = self.regions.reduce(0) { $0 + $1.count.rawValue / pages }
        self.pages = pages
        self.place = place
        self.telemetry = telemetry
    }

    func pick(_ random: inout SplitMix64) -> (range: PageRange, isPrivate: Bool)? {
        guard total > 0 else { return nil }
        let isInside =
            switch place {
            case .inside: true
            case .outside: false
            case .mixed: random.next() & 1 == 0
            }
        guard isInside else {
            var slot = random.below(total)
            for region in regions {
                let slots = region.count.rawValue / pages
                if slot < slots {
                    return (PageRange(start: region.lower + slot * pages, count: pages), false)
                }
                slot -= slots
            }
            return nil
        }
        // The newest is under way, or was a moment ago; the others are likely to come again.
        let age = random.below(4) == 0 ? random.below(UInt64(ServedTelemetry.recentCapacity)) : 0
        guard let range = telemetry.recent(age: age) else { return nil }
        let start = range.lower + random.below(range.count.rawValue)
        guard
            let region = regions.first(where: { $0.contains(GFN(start)) }),
            region.upper - start >= pages
        else { return nil }
        return (PageRange(start: start, count: pages), false)
    }
}
