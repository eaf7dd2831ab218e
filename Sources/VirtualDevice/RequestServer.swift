import GuestMemory
import Oracle
import PinLock
import Telemetry
import Virtqueue

/// What a device does with a request, whichever queue it came through: pin, move its data, ask the ledger, unpin, a chunk
/// at a time. Nothing is allocated.
struct RequestServer: ~Copyable {
    /// How a request ended, and the first page that offended.
    struct End {
        var outcome: RequestOutcome
        var gfn = GFN(0)
    }

    private let ledger: ConversionLedger
    private let clock: TickClock
    private let chunkPages: UInt64
    private let slowdown: Double
    var pins: RequestPins
    private(set) var mover: DataMover
    private var cursor = ChunkCursor()
    /// When the previous request was done with; nil where nothing is to be made of the time since.
    private(set) var previousEnd: UInt64?

    /// `capacity` is the most ranges that a request has, but for its status.
    init(
        pins: consuming RequestPins, mover: consuming DataMover, ledger: ConversionLedger,
        clock: TickClock, chunkPages: UInt64 = .max, slowdown: Double = 0, capacity: Int
    ) {
        self.pins = pins
        self.mover = mover
        self.ledger = ledger
        self.clock = clock
        self.chunkPages = chunkPages
        self.slowdown = slowdown
        cursor.reserve(capacity)
    }

    /// The time until the next request is no gap.
    mutating func forgetPrevious() { previousEnd = nil }

    /// Pins, moves and unpins the request; stops at the first chunk that cannot be pinned. Fills in the sample, but for
    /// its generation.
    @inline(__always)
    mutating func serve(_ request: inout DeviceRequest, _ sample: inout DMASample) -> End {
        let end = transfer(&request, &sample)
        sample.status = end.outcome.rawValue
        sample.bytes = mover.moved
        // The first page that was converted under the access says more than one that was refused later.
        if end.outcome != .ok, sample.stalePages == 0 {
            sample.firstGFN = UInt32(truncatingIfNeeded: end.gfn.rawValue)
        }
        return end
    }

    /// Writes a status that is written nowhere yet and whose page is not registered, under a pin of its own; where that is
    /// refused the guest gets none.
    mutating func writeStatus(_ status: RequestStatus, of request: inout DeviceRequest) {
        guard let page = request.statusPage else { return }
        let list: InlineArray<1, PageRange> = [page]
        var retries: UInt16 = 0
        if pins.take(list.span, &retries) == nil {
            request.write(status)
            pins.giveBack()
        }
    }

    private mutating func transfer(
        _ request: inout DeviceRequest, _ sample: inout DMASample
    ) -> End {
        mover.start(
            generation: request.sector, writes: request.type == .in,
            byteCount: request.byteCount.rawValue)
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
            return transfer(ranges.span, isLast: true, of: &request, &sample) ?? End(outcome: .ok)
        }
        cursor.start(request.ranges.count)
        while cursor.next(of: request.ranges, chunkPages: chunkPages) {
            let chunk = cursor.chunk
            if let end = transfer(chunk.span, isLast: cursor.isAtEnd, of: &request, &sample) {
                return end
            }
        }
        return End(outcome: .ok)
    }

    /// Pins, moves and unpins a chunk: nil, or how the request has ended with it.
    private mutating func transfer(
        _ chunk: Span<PageRange>, isLast: Bool, of request: inout DeviceRequest,
        _ sample: inout DMASample
    ) -> End? {
        let start = clock.now()
        let refusal = pins.take(chunk, &sample.retries)
        let pinned = clock.now()
        sample.pinTicks &+= TickClock.elapsed(from: start, to: pinned)
        if let refusal { return refusal.end }

        let mark = ledger.mark()
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
            guard let converted = ledger.pagesConverted(in: chunk[index], since: mark) else {
                continue
            }
            if sample.stalePages == 0 {
                sample.firstGFN = UInt32(truncatingIfNeeded: converted.first.rawValue)
            }
            sample.stalePages &+= UInt32(clamping: converted.pages.rawValue)
        }
    }

    /// One pin and unpin of `ranges` in a warm loop; nil where the pin is refused.
    mutating func hotPair(_ ranges: [PageRange], bestAddsPerCycle: Double) -> HotPair? {
        pins.hotPair(
            ranges, chunkPages: chunkPages, clock: clock, bestAddsPerCycle: bestAddsPerCycle)
    }
}

extension PinRefusal {
    fileprivate var end: RequestServer.End {
        switch self {
        case .privatePage(let gfn): RequestServer.End(outcome: .privatePage, gfn: gfn)
        case .converting(let gfn): RequestServer.End(outcome: .conversionInProgress, gfn: gfn)
        case .outOfRange: RequestServer.End(outcome: .badRequest)
        case .overLimit: RequestServer.End(outcome: .overLimit)
        case .tooManyPins: RequestServer.End(outcome: .ioError)
        }
    }
}
