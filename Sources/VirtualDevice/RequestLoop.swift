import DmaWriter
import GuestMemory
import Linux
import PinLock
import Telemetry
import Virtqueue

/// The loop of a virtual device: take a request, pin, write, unpin, complete.
///
/// It knows its queue, a pinner and a writer; no hypervisor and no experiment. One thread, nothing allocated per
/// request. Each request leaves one sample.
struct RequestLoop: ~Copyable {
    let device: DeviceID
    let pinner: any Pinner
    let view: GuestView
    let clock: TickClock
    let ledger: ConversionLedger
    let writer: DmaWriter?
    let setup: TurnSetup
    let telemetry: DeviceTelemetry
    let notifications: Notifications

    private var queue: DeviceQueue
    private var request: DeviceRequest
    private var samples: SampleRing.Producer
    private var cursor = ChunkCursor()
    private var pins: PinStack
    private var pauses: RetryPauses
    /// The longest time for which a request tried again until it had its pins or gave up, in nanoseconds.
    private(set) var longestPinWait: UInt64 = 0
    private var faults: FaultRecovery
    /// When the previous request was done with.
    private var previousEnd: UInt64?

    init(
        device: DeviceID, pinner: any Pinner, view: GuestView, clock: TickClock,
        ledger: ConversionLedger,
        writer: DmaWriter?, setup: TurnSetup, telemetry: DeviceTelemetry,
        notifications: consuming Notifications, layout: VirtqueueLayout, faults: FaultRecovery
    ) {
        self.faults = faults
        self.device = device
        self.pinner = pinner
        self.view = view
        self.clock = clock
        self.ledger = ledger
        self.writer = writer
        self.setup = setup
        self.telemetry = telemetry
        self.notifications = notifications
        queue = DeviceQueue(layout, at: GFN(setup.queueStart), in: view)
        request = DeviceRequest(for: layout)
        samples = telemetry.ring.producer()
        pins = PinStack(capacity: layout.queueSize)
        cursor.reserve(layout.queueSize)
        pauses = RetryPauses(seed: UInt64(device.rawValue + 1))
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
                if telemetry.shouldStop { return nil }
                pinner.serviceRevocations()
                wait(&idle)
                continue
            }
            idle = Backoff()
            if notifications.sleeps, queue.driverWantsNotification() { notifications.callDriver() }
        }
    }

    private mutating func wait(_ idle: inout Backoff) {
        guard notifications.sleeps else { return idle.pause() }
        let hasMore = queue.enableNotifications()
        if !hasMore, !telemetry.shouldStop { notifications.waitForKick() }
        queue.suppressNotifications()
    }

    private mutating func serve() {
        var sample = DMASample()
        sample.generation = request.generation
        let status = transfer(&sample)
        sample.status = UInt8(status.code.rawValue)
        sample.bytes = status.bytesWritten
        // The first page that was converted under the write says more than one that was refused later.
        if status.code != .ok, sample.stalePages == 0 {
            sample.firstGFN = UInt32(truncatingIfNeeded: status.gfn.rawValue)
        }
        samples.append(sample)
        queue.complete(request, with: status)
    }

    /// Pins, writes and unpins the request, a chunk at a time; stops at the first chunk that cannot be pinned.
    private mutating func transfer(_ sample: inout DMASample) -> StatusRecord {
        let stamp = Stamp(device: UInt16(device.rawValue), generation: request.generation)
        writer?.prepare(stamp)
        faults.start()
        cursor.start(request.ranges.count)
        var written: UInt64 = 0
        let first = clock.now()
        if let previousEnd { sample.gapTicks = first &- previousEnd }
        defer { previousEnd = first &+ sample.totalTicks }
        while cursor.next(of: request.ranges, chunkPages: setup.chunkPages) {
            let start = clock.now()
            let refusal = pinChunk(&sample.retries)
            let pinned = clock.now()
            sample.pinTicks += pinned &- start
            if let refusal {
                sample.totalTicks = clock.now() &- first
                return refusal.status(bytesWritten: written)
            }

            let mark = ledger.mark()
            if let writer {
                let before = clock.now()
                let stop = writeChunk(by: writer, stamp, &written)
                if setup.slowdown > 0 { slowDown(since: before) }
                sample.writeTicks += clock.now() &- before
                if let stop {
                    unpinChunk()
                    sample.totalTicks = clock.now() &- first
                    faults.giveUp(lostBytes: request.byteCount.rawValue - written)
                    return StatusRecord(.writeFault, gfn: stop, bytesWritten: written)
                }
            }
            checkForConversions(since: mark, &sample)

            let before = clock.now()
            unpinChunk()
            sample.unpinTicks += clock.now() &- before
        }
        sample.totalTicks = clock.now() &- first
        return StatusRecord(.ok, bytesWritten: written)
    }

    /// Writes the chunk; the page at which it has to stop, nil where it came to its end.
    @inline(__always)
    private mutating func writeChunk(
        by writer: DmaWriter, _ stamp: Stamp, _ written: inout UInt64
    ) -> GFN? {
        for range in cursor.chunk {
            let done = faults.write(range, in: view, by: writer, stamp)
            written += done
            if done < range.count.bytes.rawValue { return GFN(range.lower + done / pageSize) }
        }
        return nil
    }

    /// Spins for a share of the time that has passed.
    @inline(never)
    private func slowDown(since start: UInt64) {
        let end = clock.now()
        let extra = UInt64(Double(end &- start) * setup.slowdown)
        while clock.now() &- end < extra {}
    }

    /// What the turn's faults came to.
    var faultTotals: FaultTotals { faults.totals }

    /// The device's half of the oracle: no page of the chunk was converted since it was pinned.
    private func checkForConversions(since mark: ConversionLedger.Mark, _ sample: inout DMASample) {
        for range in cursor.chunk {
            guard let converted = ledger.pagesConverted(in: range, since: mark) else { continue }
            if sample.stalePages == 0 {
                sample.firstGFN = UInt32(truncatingIfNeeded: converted.first.rawValue)
            }
            sample.stalePages &+= UInt32(clamping: converted.pages.rawValue)
        }
    }

    // MARK: Pinning a chunk

    private mutating func pinChunk(_ retries: inout UInt16) -> PinRefusal? {
        guard let refusal = tryPinChunk() else { return nil }
        guard case .converting = refusal else { return refusal }
        return retryPinChunk(after: refusal, &retries)
    }

    /// Pins every range of the chunk, or none.
    @inline(__always)
    private mutating func tryPinChunk() -> PinRefusal? {
        for range in cursor.chunk {
            do throws(PinRefusal) {
                pins.push(try pinner.pin(range))
            } catch {
                unpinChunk()
                return error
            }
        }
        return nil
    }

    /// Tries again until the conversion in the way is over, or the request's deadline. An attempt counts before it is
    /// undone, and a conversion that waits takes it for a pin: the pauses are random and grow so that it gets a gap.
    @inline(never)
    private mutating func retryPinChunk(
        after first: PinRefusal, _ retries: inout UInt16
    ) -> PinRefusal? {
        let start = monotonicNanoseconds()
        defer { longestPinWait = max(longestPinWait, monotonicNanoseconds() - start) }
        let deadline = Deadline.after(nanoseconds: setup.retryNanoseconds)
        var refusal = first
        pauses.startOver()
        while case .converting = refusal, !deadline.hasPassed {
            pinner.serviceRevocations()
            var backoff = Backoff()
            for _ in 0..<pauses.next() { backoff.pause() }
            if retries < .max { retries += 1 }
            guard let next = tryPinChunk() else { return nil }
            refusal = next
        }
        return refusal
    }

    @inline(__always)
    private mutating func unpinChunk() {
        while let pin = pins.pop() { pinner.unpin(pin) }
    }

    // MARK: The hot pair

    /// One pin and unpin of `ranges` in a warm loop, without a write: the median of five batches of at least 2 ms, or
    /// of one pair where that takes longer. In nanoseconds; nil where the pin is refused.
    mutating func hotPair(_ ranges: [PageRange]) -> Double? {
        cursor.start(ranges.count)
        var pairs = 1
        var batches: [Double] = []
        while batches.count < 5 {
            let start = clock.now()
            for _ in 0..<pairs {
                cursor.start(ranges.count)
                while cursor.next(of: ranges, chunkPages: setup.chunkPages) {
                    if tryPinChunk() != nil { return nil }
                    unpinChunk()
                }
            }
            let elapsed: Double = clock.nanoseconds(from: clock.now() &- start)
            if elapsed < 2_000_000, pairs < 1 << 24 {
                pairs *= 2
            } else {
                batches.append(elapsed / Double(pairs))
            }
        }
        return batches.sorted()[2]
    }
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
