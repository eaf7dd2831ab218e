import DmaLinux
import DmaWriter
import GuestMemory
import Oracle
import PinLock
import Telemetry
import Virtqueue

/// The loop of a virtual device whose driver is the harness's own: take a request, have it served, complete it.
///
/// It knows its queue and a `RequestServer`; no hypervisor and no experiment. One thread, nothing allocated per
/// request. Each request that moves data leaves one sample.
struct RequestLoop: ~Copyable {
    private let turn: DeviceTurn
    private let notifications: Notifications
    /// Looked up anew for each request: between two it may become another table.
    private let memory: GuestView

    private var queue: DeviceQueue
    private var request: DeviceRequest
    private var recorder: RequestRecorder
    private var watch: InterferenceWatch
    private var isMeasuring = false
    private var server: RequestServer
    /// When the loop last looked in vain.
    private var lastLook: UInt64

    private var clock: TickClock { turn.clock }

    init(
        _ turn: DeviceTurn, pinner: any Pinner, mover: consuming DataMover,
        notifications: consuming Notifications
    ) throws(RingError) {
        let (rings, view) = (turn.setup.rings, turn.view)
        queue = try DeviceQueue(rings, registered: [turn.setup.queueArea], in: view)
        self.turn = turn
        self.notifications = notifications
        memory = view
        request = DeviceRequest(queueSize: rings.queueSize)
        recorder = RequestRecorder(turn.telemetry, setup: turn.setup, clock: turn.clock)
        watch = InterferenceWatch(clock: turn.clock)
        lastLook = turn.clock.now()
        server = RequestServer(
            pins: RequestPins(
                pinner, of: turn.device, ledger: turn.ledger, clock: turn.clock,
                timeout: turn.setup.retryNanoseconds, capacity: rings.queueSize),
            mover: mover, ledger: turn.ledger, clock: turn.clock,
            chunkPages: turn.setup.chunkPages, slowdown: turn.setup.settings.slowdown,
            capacity: rings.queueSize)
    }

    /// Serves the queue until the hypervisor ends the turn; why the queue is broken, where it is.
    mutating func run() -> BrokenQueue? {
        var idle = Backoff()
        while true {
            switch queue.next(into: &request, from: memory, reading: &server.pins) {
            case .valid:
                serve()
            case .unsupported:
                complete(.unsupported)
            case .invalid:
                fail(.badRequest)
            case .broken(let reason):
                return reason
            case .empty:
                if turn.telemetry.shouldStop { return nil }
                server.pins.serviceRevocations()
                wait(&idle)
                continue
            }
            idle = Backoff()
            if notifications.calls, queue.driverWantsNotification() { notifications.callDriver() }
            lookAround()
        }
    }

    /// Nothing is to be done. Where the loop polls it knows how long such a turn takes.
    private mutating func wait(_ idle: inout Backoff) {
        guard !notifications.sleeps else {
            let hasMore = queue.enableNotifications()
            if !hasMore, !turn.telemetry.shouldStop { notifications.waitForKick() }
            queue.suppressNotifications()
            lastLook = clock.now()
            return
        }
        let now = clock.now()
        watch.noteTurn(from: lastLook, to: now)
        lastLook = now
        if let probed = watch.probe(at: now) { lastLook = probed }
        idle.pause()
    }

    /// Between two requests.
    private mutating func lookAround() {
        lastLook = clock.now()
        watch.noteWork(at: lastLook)
        if let probed = watch.probe(at: lastLook) { lastLook = probed }
    }

    /// The request is the first that counts.
    private mutating func beginMeasuring() {
        isMeasuring = true
        watch.begin()
        lastLook = clock.now()
        server.forgetPrevious()
    }

    /// Hands over what was measured, and says what disturbed it.
    func finish() -> Interference {
        // In this order: the first touch of the memory for statistics is nobody's page fault.
        let interference = watch.finish()
        recorder.statistics.store(in: turn.telemetry.statistics)
        return interference
    }

    private mutating func serve() {
        guard request.type != .flush else { return complete(.ok) }
        guard canBeServed else { return fail(.badRequest) }
        if !isMeasuring, request.sector >= turn.telemetry.measuresFrom { beginMeasuring() }
        // A request that is there already begins at once, or somebody has taken the processor away; but to read a long
        // chain takes its time.
        if request.ranges.count <= Self.shortChain {
            watch.noteTurn(from: lastLook, to: clock.now())
        }
        var sample = DMASample()
        sample.generation = request.sector
        let end = server.serve(&request, &sample)
        recorder.take(sample, endedAt: server.previousEnd)
        let written = server.mover.written(of: request.type)
        guard end.outcome == .ok else { return fail(end.outcome, bytesWritten: written) }
        complete(.ok, bytesWritten: written)
    }

    /// Where private pages are protected, a store may fault, and only those of an engine are watched; and nothing stops a
    /// read.
    private var canBeServed: Bool {
        !turn.setup.isProtected || (request.type == .in && !request.statusNeedsPin)
    }

    private mutating func fail(_ outcome: RequestOutcome, bytesWritten: UInt64 = 0) {
        turn.telemetry.lastFailure = outcome
        complete(.ioError, bytesWritten: bytesWritten)
    }

    /// Tells the driver. Where private pages are protected, only a registered status can be written.
    private mutating func complete(_ status: RequestStatus, bytesWritten: UInt64 = 0) {
        if !turn.setup.isProtected { server.writeStatus(status, of: &request) }
        queue.complete(&request, with: status, bytesWritten: bytesWritten)
    }

    /// So many ranges are read in a microsecond or two.
    private static let shortChain = 64

    // MARK: What a turn has come to

    var mover: DataMover { server.mover }
    var faultTotals: FaultTotals { server.mover.faults.totals }
    var longestPinWait: UInt64 { server.pins.longestWait }

    /// One pin and unpin of `ranges` in a warm loop; nil where the pin is refused.
    mutating func hotPair(_ ranges: [PageRange]) -> HotPair? {
        server.hotPair(ranges, bestAddsPerCycle: turn.setup.bestAddsPerCycle)
    }
}
