import DmaLinux
import DmaWriter
import GuestMemory
import Oracle
import PinLock
import Telemetry
import VhostUser
import Virtqueue

/// A strategy's turn at a device that serves: its pins, and what they have come to.
final class ServedTurn {
    let strategy: any PinStrategy
    let cache: PageCount
    private let telemetry: ServedTelemetry
    let clock: TickClock
    private let pinner: any Pinner
    /// Nil where nothing is recorded.
    let recording: RequestRecording?
    var server: RequestServer
    private let sectors: UInt64
    /// Pins of rings, by the number of their queue.
    private var ringPins: [Int: Pin] = [:]
    private(set) var setupPin = 0.0

    /// What the turn has measured, across changes of guest memory.
    final class Figures {
        var requests = RequestStatistics()
        var segments = LatencyHistogram()
        var depth = LatencyHistogram()
        var totals = ServedTotals()
        /// When the first request came, and the processor's time then.
        var start: (ticks: UInt64, processor: UInt64)?
        var watch: InterferenceWatch

        init(_ clock: TickClock) { watch = InterferenceWatch(clock: clock) }
    }
    /// When a request was last done with, or the device last came back from its sleep, in ticks.
    private var lastLook: UInt64

    let figures: Figures

    init(
        _ strategy: any PinStrategy, cache: PageCount, in surroundings: Surroundings,
        memory: GuestView, ask: ((PageRange) -> Void)?, figures: Figures? = nil
    ) throws {
        let setup = surroundings.setup
        self.strategy = strategy
        self.cache = cache
        self.figures = figures ?? Figures(TickClock(scale: setup.scale))
        telemetry = surroundings.telemetry
        recording = surroundings.recording
        clock = TickClock(scale: setup.scale)
        lastLook = clock.now()
        sectors = setup.capacityInSectors
        pinner = try strategy.pinner(
            for: surroundings.device,
            in: DeviceSurroundings(memory: memory, hypervisor: ServedDescriptor.service))
        (pinner as? any CachingPinner)?.limit = cache
        let telemetry = telemetry
        server = RequestServer(
            pins: RequestPins(
                pinner, of: surroundings.device, ledger: surroundings.ledger, clock: clock,
                timeout: setup.timeout, capacity: Int(Queue.sizeLimit),
                privatePages: RequestPins.PrivatePages(
                    ask: ask, shouldStop: { telemetry.shouldStop })),
            mover: DataMover(
                writer: surroundings.writer, store: surroundings.store,
                faults: FaultRecovery(
                    policy: nil, table: strategy.arena.table, hypervisor: ServedDescriptor.service,
                    timeout: setup.timeout)),
            ledger: surroundings.ledger, clock: clock, capacity: Int(Queue.sizeLimit))
        let start = clock.now()
        // A cache of pins is told what it may keep; that pins nothing yet.
        if type(of: strategy).info.pinsBuffers || type(of: strategy).isCached {
            try pinner.register(memory.regions.map(\.range))
        }
        setupPin = clock.nanoseconds(from: clock.now() &- start)
    }

    /// Pins a queue's rings for as long as it is served, outside what is registered: that is evicted and let go as ever.
    func pinRings(_ pages: [PageRange], of queue: Int) throws(PinRefusal) {
        let start = clock.now()
        let pin = try server.pins.takeToKeep(pages.span)
        setupPin += clock.nanoseconds(from: clock.now() &- start)
        ringPins[queue] = pin
    }

    func unpinRings(of queue: Int) {
        if let pin = ringPins.removeValue(forKey: queue) { server.pins.unpin(pin) }
    }

    /// Gives everything back; the turn is not to be used any more.
    func release() {
        for queue in Array(ringPins.keys) { unpinRings(of: queue) }
        pinner.unregister()
        figures.totals.pageWaits += server.pins.waits
        figures.totals.longestWaitNanoseconds = max(
            figures.totals.longestWaitNanoseconds, server.pins.longestWait)
    }

    /// Serves a request that moves data: how it ended, and the bytes that it wrote for the used ring.
    @inline(__always)
    func serve(
        _ request: inout DeviceRequest, depth: Int
    ) -> (status: RequestStatus, written: UInt64) {
        guard request.fits(sectors: sectors) else { return (.ioError, 0) }
        if figures.start == nil { begin() }
        // A request that is there already begins at once, or somebody has taken the processor away; but to read a long
        // chain takes its time.
        if request.segmentCount <= Self.shortChain {
            figures.watch.noteTurn(from: lastLook, to: clock.now())
        }
        note(request)
        var sample = DMASample()
        sample.generation = request.sector
        let end = server.serve(&request, &sample)
        figures.requests.noteStale(sample)
        let written = server.mover.written(of: request.type)
        guard request.type != .getID else {
            return (end.outcome == .ok ? .ok : .ioError, written)
        }
        figures.requests.record(sample, clock: clock)
        figures.segments.record(UInt64(request.segmentCount))
        figures.depth.record(UInt64(depth))
        if end.outcome == .ok { count(request.type, request.byteCount.rawValue) }
        return (end.outcome == .ok ? .ok : .ioError, written)
    }

    /// Writes down a request that has its answer, where that is wanted. What lies outside the disk was never carried out.
    func record(_ request: borrowing DeviceRequest, of queue: Int, arrival: UInt64) {
        guard let recording, request.fits(sectors: sectors) else { return }
        recording.take(request, queue: queue, arrival: arrival)
    }

    /// So many segments are read in a microsecond or two.
    private static let shortChain = 64

    /// A request is done with, whether it counted or not.
    @inline(__always)
    func lookAround() {
        lastLook = clock.now()
        guard figures.start != nil else { return }
        figures.watch.noteWork(at: lastLook)
        if let probed = figures.watch.probe(at: lastLook) { lastLook = probed }
    }

    /// The device comes back from where it waited, or did something else: that is nobody's gap.
    func resume() { lastLook = clock.now() }

    /// Tells the converter where the traffic is: one of the request's ranges, another one for each request.
    @inline(__always)
    private func note(_ request: borrowing DeviceRequest) {
        let (number, count) = (telemetry.requests, request.ranges.count)
        if count > 0 {
            let place = count == 1 ? 0 : Int(number % UInt64(count))
            telemetry.note(request.ranges[place], number: number)
        }
        telemetry.requests = number &+ 1
    }

    @inline(__always)
    private func count(_ type: RequestType?, _ bytes: UInt64) {
        if type == .in {
            figures.totals.inRequests += 1
            figures.totals.inBytes += bytes
        } else {
            figures.totals.outRequests += 1
            figures.totals.outBytes += bytes
        }
    }

    private func begin() {
        figures.start = (clock.now(), processorNanoseconds())
        server.forgetPrevious()
        figures.watch.begin()
        lastLook = clock.now()
    }

    /// Hands over what was measured, after `release`.
    func finish() -> ServedTotals {
        if let start = figures.start {
            figures.totals.spanNanoseconds = clock.nanoseconds(from: clock.now() &- start.ticks)
            figures.totals.processorNanoseconds = processorNanoseconds() - start.processor
            // Before the first touch of the memory for statistics.
            figures.totals.interference = figures.watch.finish()
        }
        figures.requests.store(in: telemetry.statistics)
        figures.segments.store(in: telemetry.segments)
        figures.depth.store(in: telemetry.depth)
        return figures.totals
    }
}
