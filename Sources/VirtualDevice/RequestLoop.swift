import DmaWriter
import GuestMemory
import Linux
import Oracle
import PinLock
import Telemetry
import Virtqueue

/// The loop of a virtual device: take a request, pin, write, unpin, complete.
///
/// It knows its queue, a pinner and a writer; no hypervisor and no experiment. One thread, nothing allocated per
/// request. Each request leaves one sample.
struct RequestLoop: ~Copyable {
    private let turn: DeviceTurn
    private let pinner: any Pinner
    private let writer: DmaWriter?
    private let notifications: Notifications
    private let chunkPages: UInt64
    private let slowdown: Double

    private var queue: DeviceQueue
    private var request: DeviceRequest
    private var recorder: RequestRecorder
    private var watch: InterferenceWatch
    private var isMeasuring = false
    private var cursor = ChunkCursor()
    private var pins: PinStack
    private var pauses: RetryPauses
    /// The longest time for which a request tried again until it had its pins or gave up, in nanoseconds.
    private(set) var longestPinWait: UInt64 = 0
    private var faults: FaultRecovery
    /// When the previous request was done with, or the loop last looked in vain.
    private var previousEnd: UInt64?
    private var lastLook: UInt64

    private var clock: TickClock { turn.clock }

    init(
        _ turn: DeviceTurn, pinner: any Pinner, writer: DmaWriter?,
        notifications: consuming Notifications, faults: FaultRecovery
    ) {
        self.turn = turn
        self.pinner = pinner
        self.writer = writer
        self.notifications = notifications
        self.faults = faults
        chunkPages = turn.setup.chunkPages
        slowdown = turn.setup.settings.slowdown
        queue = DeviceQueue(turn.layout, at: turn.setup.queueStart, in: turn.view)
        request = DeviceRequest(for: turn.layout)
        recorder = RequestRecorder(turn.telemetry, setup: turn.setup, clock: turn.clock)
        watch = InterferenceWatch(clock: turn.clock)
        lastLook = turn.clock.now()
        pins = PinStack(capacity: turn.layout.queueSize)
        cursor.reserve(turn.layout.queueSize)
        pauses = RetryPauses(seed: UInt64(turn.device.rawValue + 1))
    }

    /// Serves the queue until the hypervisor ends the turn; why the queue is broken, where it is.
    mutating func run() -> BrokenQueue? {
        var idle = Backoff()
        while true {
            switch queue.next(into: &request) {
            case .valid:
                serve()
            case .invalid:
                queue.complete(request, with: StatusRecord(.badRequest))
            case .broken(let reason):
                return reason
            case .empty:
                if turn.telemetry.shouldStop { return nil }
                pinner.serviceRevocations()
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
        if !isMeasuring, request.generation >= turn.telemetry.measuresFrom { beginMeasuring() }
        // A request that is there already begins at once, or somebody has taken the processor away; but to read a long
        // chain takes its time.
        if request.ranges.count <= Self.shortChain {
            watch.noteTurn(from: lastLook, to: clock.now())
        }
        var sample = DMASample()
        sample.generation = request.generation
        let status = transfer(&sample)
        sample.status = UInt8(status.code.rawValue)
        sample.bytes = status.bytesWritten
        // The first page that was converted under the write says more than one that was refused later.
        if status.code != .ok, sample.stalePages == 0 {
            sample.firstGFN = UInt32(truncatingIfNeeded: status.gfn.rawValue)
        }
        recorder.take(sample)
        queue.complete(request, with: status)
    }

    /// Pins, writes and unpins the request, a chunk at a time; stops at the first chunk that cannot be pinned.
    private mutating func transfer(_ sample: inout DMASample) -> StatusRecord {
        let stamp = Stamp(device: UInt16(turn.device.rawValue), generation: request.generation)
        writer?.prepare(stamp)
        faults.start()
        var written: UInt64 = 0
        let first = clock.now()
        if let previousEnd {
            sample.gapTicks = TickClock.elapsed(from: previousEnd, to: first)
        }
        defer {
            sample.totalTicks = TickClock.elapsed(from: first, to: clock.now())
            previousEnd = first &+ sample.totalTicks
        }
        if request.byteCount.rawValue <= chunkPages &* pageSize {
            // The list as it is: nothing of it is copied. Gone by the next request, which is read into the same memory.
            let ranges = request.ranges
            return transfer(ranges.span, stamp, &written, &sample)
                ?? StatusRecord(.ok, bytesWritten: written)
        }
        cursor.start(request.ranges.count)
        while cursor.next(of: request.ranges, chunkPages: chunkPages) {
            let chunk = cursor.chunk
            if let stop = transfer(chunk.span, stamp, &written, &sample) { return stop }
        }
        return StatusRecord(.ok, bytesWritten: written)
    }

    /// Pins, writes and unpins a chunk: nil, or how the request has ended with it.
    private mutating func transfer(
        _ chunk: Span<PageRange>, _ stamp: Stamp, _ written: inout UInt64,
        _ sample: inout DMASample
    ) -> StatusRecord? {
        let start = clock.now()
        let refusal = pin(chunk, &sample.retries)
        let pinned = clock.now()
        sample.pinTicks &+= TickClock.elapsed(from: start, to: pinned)
        if let refusal { return refusal.status(bytesWritten: written) }

        let mark = turn.ledger.mark()
        if let writer {
            let before = clock.now()
            let stop = write(chunk, by: writer, stamp, &written)
            if slowdown > 0 { slowDown(since: before) }
            sample.writeTicks &+= TickClock.elapsed(from: before, to: clock.now())
            if let stop {
                unpin()
                faults.giveUp(lostBytes: request.byteCount.rawValue - written)
                return StatusRecord(.writeFault, gfn: stop, bytesWritten: written)
            }
        }
        checkForConversions(of: chunk, since: mark, &sample)

        let before = clock.now()
        unpin()
        sample.unpinTicks &+= TickClock.elapsed(from: before, to: clock.now())
        return nil
    }

    /// Writes the chunk; the page at which it has to stop, nil where it came to its end.
    @inline(__always)
    private mutating func write(
        _ chunk: Span<PageRange>, by writer: DmaWriter, _ stamp: Stamp, _ written: inout UInt64
    ) -> GFN? {
        for index in chunk.indices {
            let range = chunk[index]
            let done = faults.write(range, in: turn.view, by: writer, stamp)
            written += done
            if done < range.count.bytes.rawValue { return GFN(range.lower + done / pageSize) }
        }
        return nil
    }

    /// Spins for a share of the time that has passed.
    @inline(never)
    private func slowDown(since start: UInt64) {
        let end = clock.now()
        let extra = UInt64(Double(TickClock.elapsed(from: start, to: end)) * slowdown)
        while TickClock.elapsed(from: end, to: clock.now()) < extra {}
    }

    /// What the turn's faults came to.
    var faultTotals: FaultTotals { faults.totals }

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

    // MARK: Pinning a chunk

    private mutating func pin(_ chunk: Span<PageRange>, _ retries: inout UInt16) -> PinRefusal? {
        guard let refusal = tryPin(chunk) else { return nil }
        guard case .converting = refusal else { return refusal }
        return retryPin(chunk, after: refusal, &retries)
    }

    /// Pins every range of the chunk, or none: with one pin, but where there are more ranges than a pin has.
    @inline(__always)
    private mutating func tryPin(_ chunk: Span<PageRange>) -> PinRefusal? {
        do throws(PinRefusal) {
            guard chunk.count > Pin.rangeLimit else {
                pins.push(try pinner.pin(chunk))
                return nil
            }
            var next = 0
            while next < chunk.count {
                let end = min(next + Pin.rangeLimit, chunk.count)
                pins.push(try pinner.pin(chunk.extracting(next..<end)))
                next = end
            }
            return nil
        } catch {
            unpin()
            return error
        }
    }

    /// Tries again until the conversion in the way is over, or the request's deadline. An attempt counts before it is
    /// undone, and a conversion that waits takes it for a pin: the pauses are random and grow so that it gets a gap.
    @inline(never)
    private mutating func retryPin(
        _ chunk: Span<PageRange>, after first: PinRefusal, _ retries: inout UInt16
    ) -> PinRefusal? {
        let start = monotonicNanoseconds()
        defer { longestPinWait = max(longestPinWait, monotonicNanoseconds() - start) }
        let deadline = Deadline.after(nanoseconds: turn.setup.retryNanoseconds)
        var refusal = first
        pauses.startOver()
        while case .converting = refusal, !deadline.hasPassed {
            pinner.serviceRevocations()
            var backoff = Backoff()
            for _ in 0..<pauses.next() { backoff.pause() }
            if retries < .max { retries += 1 }
            guard let next = tryPin(chunk) else { return nil }
            refusal = next
        }
        return refusal
    }

    @inline(__always)
    private mutating func unpin() {
        while let pin = pins.pop() { pinner.unpin(pin) }
    }

    // MARK: The hot pair

    /// One pin and unpin of `ranges` in a warm loop, without a write; nil where the pin is refused.
    mutating func hotPair(_ ranges: [PageRange]) -> HotPair? {
        let isWhole = ranges.reduce(0) { $0 + $1.count.rawValue } <= chunkPages
        var pairs = 1
        var batches = HotPair.Batches(bestAddsPerCycle: turn.setup.bestAddsPerCycle)
        while !batches.isEnough {
            let before = batches.probe(clock)
            let start = clock.now()
            for _ in 0..<pairs {
                if isWhole {
                    if tryPin(ranges.span) != nil { return nil }
                    unpin()
                    continue
                }
                cursor.start(ranges.count)
                while cursor.next(of: ranges, chunkPages: chunkPages) {
                    let chunk = cursor.chunk
                    if tryPin(chunk.span) != nil { return nil }
                    unpin()
                }
            }
            let elapsed: Double = clock.nanoseconds(from: clock.now() &- start)
            if elapsed < HotPair.batchNanoseconds, pairs < 1 << 24 {
                pairs *= 2
            } else {
                batches.take(elapsed / Double(pairs), before, batches.probe(clock))
            }
        }
        return batches.result
    }
}

/// What a device knows for the length of a turn: what it was told, and what it shares with whom.
struct DeviceTurn {
    let device: DeviceID
    let setup: TurnSetup
    let layout: VirtqueueLayout
    let view: GuestView
    let ledger: ConversionLedger
    let clock: TickClock
    let telemetry: DeviceTelemetry
}

/// The pins of one chunk, in memory of a fixed size: what lies between two reads of the clock stays small.
struct PinStack: ~Copyable {
    private let pins: UnsafeMutableBufferPointer<Pin>
    private var count = 0

    init(capacity: Int) { pins = .allocate(capacity: capacity) }

    deinit { pins.deallocate() }

    @inline(__always)
    mutating func push(_ pin: Pin) {
        pins.initializeElement(at: count, to: pin)
        count += 1
    }

    @inline(__always)
    mutating func pop() -> Pin? {
        guard count > 0 else { return nil }
        count -= 1
        return pins[count]
    }
}

extension PinRefusal {
    fileprivate func status(bytesWritten: UInt64) -> StatusRecord {
        switch self {
        case .privatePage(let gfn): StatusRecord(.privatePage, gfn: gfn, bytesWritten: bytesWritten)
        case .converting(let gfn):
            StatusRecord(.conversionInProgress, gfn: gfn, bytesWritten: bytesWritten)
        case .outOfRange: StatusRecord(.badRequest, bytesWritten: bytesWritten)
        case .overLimit: StatusRecord(.overLimit, bytesWritten: bytesWritten)
        case .tooManyPins: StatusRecord(.ioError, bytesWritten: bytesWritten)
        }
    }
}
