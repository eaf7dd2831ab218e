import DmaWriter
import GuestMemory
import Linux
import Oracle
import PinLock
import Telemetry
import Virtqueue

/// The loop of a virtual device: take a request, pin, move its data, unpin, complete.
///
/// It knows its queue, a pinner and a mover; no hypervisor and no experiment. One thread, nothing allocated per
/// request. Each request that moves data leaves one sample.
struct RequestLoop: ~Copyable {
    private let turn: DeviceTurn
    private let notifications: Notifications
    private let chunkPages: UInt64
    private let slowdown: Double
    /// Looked up anew for each request: between two it may become another table.
    private let memory: GuestView

    private var queue: DeviceQueue
    private var request: DeviceRequest
    private var recorder: RequestRecorder
    private var watch: InterferenceWatch
    private var isMeasuring = false
    private var cursor = ChunkCursor()
    private var pins: RequestPins
    private(set) var mover: DataMover
    /// When the previous request was done with, or the loop last looked in vain.
    private var previousEnd: UInt64?
    private var lastLook: UInt64

    private var clock: TickClock { turn.clock }

    init(
        _ turn: DeviceTurn, pinner: any Pinner, mover: consuming DataMover,
        notifications: consuming Notifications
    ) throws(RingError) {
        let (rings, view) = (turn.setup.rings, turn.view)
        queue = try DeviceQueue(rings, registered: [turn.setup.queueArea], in: view)
        self.turn = turn
        self.mover = mover
        self.notifications = notifications
        memory = view
        chunkPages = turn.setup.chunkPages
        slowdown = turn.setup.settings.slowdown
        request = DeviceRequest(queueSize: rings.queueSize)
        recorder = RequestRecorder(turn.telemetry, setup: turn.setup, clock: turn.clock)
        watch = InterferenceWatch(clock: turn.clock)
        lastLook = turn.clock.now()
        pins = RequestPins(pinner, turn: turn, capacity: rings.queueSize)
        cursor.reserve(rings.queueSize)
    }

    /// Serves the queue until the hypervisor ends the turn; why the queue is broken, where it is.
    mutating func run() -> BrokenQueue? {
        var idle = Backoff()
        while true {
            switch queue.next(into: &request, from: memory, reading: &pins) {
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
                pins.serviceRevocations()
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
        previousEnd = nil
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
        let end = transfer(&sample)
        sample.status = end.outcome.rawValue
        sample.bytes = mover.moved
        // The first page that was converted under the access says more than one that was refused later.
        if end.outcome != .ok, sample.stalePages == 0 {
            sample.firstGFN = UInt32(truncatingIfNeeded: end.gfn.rawValue)
        }
        recorder.take(sample)
        let written = mover.written(of: request.type)
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

    /// Tells the driver. A status that is written nowhere yet and is not registered has a pin of its own; where that is
    /// refused the guest gets none.
    private mutating func complete(_ status: RequestStatus, bytesWritten: UInt64 = 0) {
        if let page = request.statusPage, !turn.setup.isProtected {
            let list: InlineArray<1, PageRange> = [page]
            var retries: UInt16 = 0
            if pins.take(list.span, &retries) == nil {
                request.write(status)
                pins.giveBack()
            }
        }
        queue.complete(&request, with: status, bytesWritten: bytesWritten)
    }

    /// How a request ended, and the first page that offended.
    fileprivate struct End {
        var outcome: RequestOutcome
        var gfn = GFN(0)
    }

    /// Pins, moves and unpins the request, a chunk at a time; stops at the first chunk that cannot be pinned.
    private mutating func transfer(_ sample: inout DMASample) -> End {
        mover.start(generation: request.sector)
        let first = clock.now()
        if let previousEnd {
            sample.gapTicks = TickClock.elapsed(from: previousEnd, to: first)
        }
        pins.addCopies(to: &sample)
        let copyTicks = sample.pinTicks
        defer {
            let elapsed = TickClock.elapsed(from: first, to: clock.now())
            previousEnd = first &+ elapsed
            // The header may have taken a pin before, in what looks like the gap.
            sample.totalTicks = elapsed &+ copyTicks
            sample.gapTicks -= min(sample.gapTicks, copyTicks)
        }
        if request.pageCount.rawValue <= chunkPages {
            // The list as it is: nothing of it is copied. Gone by the next request, which is read into the same memory.
            let ranges = request.ranges
            return transfer(ranges.span, isLast: true, &sample) ?? End(outcome: .ok)
        }
        cursor.start(request.ranges.count)
        while cursor.next(of: request.ranges, chunkPages: chunkPages) {
            let chunk = cursor.chunk
            if let end = transfer(chunk.span, isLast: cursor.isAtEnd, &sample) { return end }
        }
        return End(outcome: .ok)
    }

    /// Pins, moves and unpins a chunk: nil, or how the request has ended with it.
    private mutating func transfer(
        _ chunk: Span<PageRange>, isLast: Bool, _ sample: inout DMASample
    ) -> End? {
        let start = clock.now()
        let refusal = pins.take(chunk, &sample.retries)
        let pinned = clock.now()
        sample.pinTicks &+= TickClock.elapsed(from: start, to: pinned)
        if let refusal { return refusal.end }

        let mark = turn.ledger.mark()
        if mover.moves {
            let before = clock.now()
            let stop = mover.move(request, within: chunk)
            if slowdown > 0 { slowDown(since: before) }
            sample.writeTicks &+= TickClock.elapsed(from: before, to: clock.now())
            if let stop {
                pins.giveBack()
                mover.giveUp(lostBytes: request.byteCount.rawValue - mover.moved)
                return End(outcome: .writeFault, gfn: stop)
            }
        }
        checkForConversions(of: chunk, since: mark, &sample)

        // Its page is the last of the list.
        if isLast, request.statusNeedsPin { request.write(.ok) }
        let before = clock.now()
        pins.giveBack()
        sample.unpinTicks &+= TickClock.elapsed(from: before, to: clock.now())
        return nil
    }

    /// Spins for a share of the time that has passed.
    @inline(never)
    private func slowDown(since start: UInt64) {
        let end = clock.now()
        let extra = UInt64(Double(TickClock.elapsed(from: start, to: end)) * slowdown)
        while TickClock.elapsed(from: end, to: clock.now()) < extra {}
    }

    /// The device's half of the oracle: no page of the chunk was converted since it was pinned.
    private func checkForConversions(
        of chunk: Span<PageRange>, since mark: ConversionLedger.Mark, _ sample: inout DMASample
    ) {
        for index in chunk.indices {
            guard let converted = turn.ledger.pagesConverted(in: chunk[index], since: mark) else {
                continue
            }
            if sample.stalePages == 0 {
                sample.firstGFN = UInt32(truncatingIfNeeded: converted.first.rawValue)
            }
            sample.stalePages &+= UInt32(clamping: converted.pages.rawValue)
        }
    }

    /// So many ranges are read in a microsecond or two.
    private static let shortChain = 64

    // MARK: What a turn has come to

    var faultTotals: FaultTotals { mover.faults.totals }
    var longestPinWait: UInt64 { pins.longestWait }

    /// One pin and unpin of `ranges` in a warm loop; nil where the pin is refused.
    mutating func hotPair(_ ranges: [PageRange]) -> HotPair? {
        pins.hotPair(
            ranges, chunkPages: chunkPages, clock: clock,
            bestAddsPerCycle: turn.setup.bestAddsPerCycle)
    }
}

extension PinRefusal {
    fileprivate var end: RequestLoop.End {
        switch self {
        case .privatePage(let gfn): RequestLoop.End(outcome: .privatePage, gfn: gfn)
        case .converting(let gfn): RequestLoop.End(outcome: .conversionInProgress, gfn: gfn)
        case .outOfRange: RequestLoop.End(outcome: .badRequest)
        case .overLimit: RequestLoop.End(outcome: .overLimit)
        case .tooManyPins: RequestLoop.End(outcome: .ioError)
        }
    }
}
