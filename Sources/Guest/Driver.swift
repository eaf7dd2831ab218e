import GuestMemory
import Settings
import Telemetry
import Virtqueue

/// The guest's driver of one device: it keeps requests in flight, as many as it may, each as soon as it is due.
///
/// Without a pace it is a closed loop: the next request comes as soon as one is completed. With one each request has its
/// time, and what comes late counts from there. It checks that what the device says of a request makes sense. Where the
/// guest has pools, a request goes in pieces, and each is copied from the pool to the request's target before the next,
/// or the other way before the device reads it.
///
/// It begins with requests that are not measured, at no pace, until all devices have settled; and it knows what ends a
/// turn, so that no request more is submitted than was asked for.
public final class Driver: GuestProgram {
    /// The generation of the piece most recently submitted; a request without a pool is one piece.
    public private(set) var generation: UInt64 = 0
    /// The pieces' generations of the last request that the device wrote, where it was completed; empty where it was not.
    public private(set) var lastCompleted: [UInt64] = []
    /// What the guest copies; nil where that is nothing.
    private var copies: CopyLog?

    private let index: Int
    private let map: MemoryMap
    private let control: TurnControl
    private let signals: DeviceSignals
    private let clock: TickClock
    private let listens: Bool
    private var ring: DriverQueue
    /// Nil where the guest has pools: the ranges of a piece are another piece's.
    private var prepared: PreparedRequests?
    private let depth: Int
    private var draw: DirectionDraw

    private enum State {
        case running, copying, done
    }
    private var state = State.running
    /// The piece that is in flight or copied, or comes next, and its number within its request.
    private var piece: Piece
    private var number: UInt64 = 0
    /// Whether the device reads what was submitted last.
    private var isRead = false
    private var completion: Completion?
    private var generations: [UInt64] = []
    private var hasSettled = false
    /// From which generation on requests are measured, since when, and until when: in ticks.
    private var measuredFrom = UInt64.max
    private var measuredSince: UInt64?
    private var measuredUntil: UInt64 = 0
    private var failures = FailureStreak()
    private var isHopeless = false

    private var paced: PacedRequests?
    /// Those of a trace; nil where each request is the buffer.
    private var traced: TraceRequests?

    /// Sets the queue of device `index` up in guest memory, for at most `depth` requests in flight, whose directions are
    /// drawn by `seed` where there are two. `listens` where the vCPU sleeps until a device calls. Without `copies` nothing
    /// is copied out of pools or into them. With a `trace` requests are the trace's, whose guest the map is of.
    public init(
        of index: Int, map: MemoryMap, view: GuestView, control: TurnControl,
        signals: DeviceSignals, clock: TickClock, pace: (any RequestPace)? = nil, depth: Int = 1,
        direction: Direction = .write, seed: UInt64 = 0, trace: TraceLayout? = nil,
        listens: Bool = false, copies: Bool = true
    ) throws(PrepareError) {
        self.index = index
        self.map = map
        self.control = control
        self.signals = signals
        self.clock = clock
        self.listens = listens
        piece = map.piece(0, of: index)
        var ring = DriverQueue(map.queueLayout, at: map.queueStarts[index], in: view)
        let places = map.queueLayout.requests
        self.depth = depth
        draw = DirectionDraw(direction, device: index, seed: seed)
        if map.targets.isEmpty, trace == nil {
            prepared = try PreparedRequests(depth, direction, data: piece.ranges, in: &ring)
        }
        precondition(depth == 1 || map.targets.isEmpty, "a pool is one request's at a time")
        if !listens { ring.suppressNotifications() }
        self.ring = ring
        self.copies = map.targets.isEmpty || !copies ? nil : CopyLog(clock: clock, view: view)
        paced = pace.map { PacedRequests($0, places: places, clock: clock) }
        traced = trace.map { TraceRequests($0, places: places) }
    }

    public func step(_ moment: Moment) -> ProgramStep {
        switch state {
        case .running: break
        case .copying: return copy()
        case .done: return .done
        }
        guard ring.outstanding > 0 else { return startRequest(moment.now) }
        let completion: Completion?
        do throws(DeviceError) {
            completion = try nextCompletion()
        } catch {
            control.fail(error)
            return finish(moment.now)
        }
        guard let completion else {
            return ring.outstanding < depth ? startRequest(moment.now) : .idle(until: .max)
        }
        if listens { ring.suppressNotifications() }
        control.noteAnswer()
        guard completion.status == .ok else {
            note(completion.status == nil ? .ioError : signals.failure(), moment.now)
            generations.removeAll(keepingCapacity: true)
            return endRequest(completion, moment.now)
        }
        note(.ok, moment.now)
        generations.append(completion.generation)
        guard copies != nil, !isRead else { return endPiece(completion, moment.now) }
        self.completion = completion
        state = .copying
        return .worked
    }

    /// Where the vCPU is going to sleep, the device has to call; what it completed just before is taken at once.
    private func nextCompletion() throws(DeviceError) -> Completion? {
        if let completion = try ring.poll() { return completion }
        guard listens, ring.enableNotifications() else { return nil }
        return try ring.poll()
    }

    /// Out of the pool what the device has written, or into it what it is to read.
    private func copy() -> ProgramStep {
        guard copies!.step(piece, intoPool: isRead) else { return .workedLong }
        state = .running
        // A copy takes long: the present is not when the step began.
        _ = isRead ? submitPiece() : endPiece(completion!, clock.now())
        return .workedLong
    }

    private func endPiece(_ completion: Completion, _ now: UInt64) -> ProgramStep {
        number += 1
        guard number == map.piecesPerRequest else { return startPiece() }
        return endRequest(completion, now)
    }

    /// Takes the end of a request, of which generations are there where it was completed.
    private func endRequest(_ completion: Completion, _ now: UInt64) -> ProgramStep {
        let isCompleted = !generations.isEmpty
        // What the device has read leaves the buffer as it was.
        if !(prepared?.isRead(completion.request) ?? isRead) { swap(&lastCompleted, &generations) }
        generations.removeAll(keepingCapacity: true)
        let isMeasured = completion.generation >= measuredFrom
        copies?.endRequest(counts: isMeasured && isCompleted)
        number = 0
        if traced != nil {
            // Its data is checked by nobody: later requests may have written there as well.
            lastCompleted.removeAll(keepingCapacity: true)
            traced!.end(place: completion.request.slot, counts: isMeasured && isCompleted)
        }
        prepared?.giveBack(completion.request)
        if isMeasured { control.noteRequest(isCompleted: isCompleted) }
        paced?.end(place: completion.request.slot, at: now, counts: isMeasured && isCompleted)
        return startRequest(now)
    }

    /// The next request where it is due, or the end where no more are wanted and none is in flight.
    private func startRequest(_ now: UInt64) -> ProgramStep {
        if !hasSettled, signals.isSettled() {
            hasSettled = true
            control.noteSettled()
        }
        let isMeasured = control.mayMeasure(now)
        if control.isOver || (isMeasured && control.isEnough(now)) {
            paced?.finish(at: now, left: control.requestsLeft)
            return comeToTheEnd(now)
        }
        guard isMeasured else { return submit(due: nil, now) }
        if measuredSince == nil {
            // What is measured does not wait behind the warm-up.
            guard ring.outstanding == 0 else { return .idle(until: .max) }
            measuredSince = now
        }
        var due = now
        if paced != nil {
            guard let next = paced!.next(at: now) else { return comeToTheEnd(now) }
            guard next <= now else { return .idle(until: next) }
            due = next
        }
        guard control.claimRequest() else { return comeToTheEnd(now) }
        if measuredFrom == .max {
            measuredFrom = generation + 1
            signals.measure(measuredFrom)
        }
        return submit(due: due, now)
    }

    /// Submits a request, or its first piece. One without a time at which it was due is not measured.
    private func submit(due: UInt64?, _ now: UInt64) -> ProgramStep {
        if traced != nil { return submitTraced(due: due, now) }
        isRead = draw.isRead()
        let request = prepared?.take(isRead: isRead)
        if let due {
            paced?.take(
                place: request?.slot ?? 0, due: due, at: now, left: control.requestsLeft)
        }
        guard let request else { return startPiece() }
        generation += 1
        ring.submit(request, generation: generation)
        kick()
        return .worked
    }

    /// Submits the trace's next request. In the warm-up it is one at a time.
    private func submitTraced(due: UInt64?, _ now: UInt64) -> ProgramStep {
        guard due != nil || ring.outstanding == 0 else { return .idle(until: .max) }
        generation += 1
        let request = traced!.submit(
            to: &ring, generation: generation, isMeasured: due != nil)
        if let due {
            paced?.take(place: request.slot, due: due, at: now, left: control.requestsLeft)
        }
        kick()
        return .workedLong
    }

    /// The next piece of a request: what the device is to read has to be in the pool first.
    private func startPiece() -> ProgramStep {
        piece = map.piece(number, of: index)
        guard isRead, copies != nil else { return submitPiece() }
        state = .copying
        return .worked
    }

    /// Its chain is not prepared, and may have thousands of ranges.
    private func submitPiece() -> ProgramStep {
        generation += 1
        do throws(PrepareError) {
            try ring.submit(isRead ? .out : .in, data: piece.ranges, generation: generation)
        } catch {
            preconditionFailure("piece \(number) of a queue laid out for it: \(error)")
        }
        kick()
        return .workedLong
    }

    private func kick() {
        if let kick = signals.kick, ring.deviceWantsNotification() { kick() }
    }

    /// No more requests are wanted for now: done, once those in flight have come back. One of them may be refused, and is
    /// then made up for.
    private func comeToTheEnd(_ now: UInt64) -> ProgramStep {
        ring.outstanding > 0 ? .idle(until: .max) : finish(now)
    }

    private func finish(_ now: UInt64) -> ProgramStep {
        state = .done
        measuredUntil = now
        if isHopeless { control.noteHopeless(false) }
        control.noteEnd()
        return .done
    }

    /// Where no request gets its pins any more, a turn that waits for a number of them would never end.
    private func note(_ outcome: RequestOutcome, _ now: UInt64) {
        let time: UInt64 = clock.nanoseconds(from: now)
        failures.note(outcome, at: time)
        guard failures.isEndless(at: time) != isHopeless else { return }
        isHopeless.toggle()
        control.noteHopeless(isHopeless)
    }

    /// Adds the times of its copies, of whole requests that were measured.
    public func addCopies(to histogram: inout LatencyHistogram) {
        copies?.addLatency(to: &histogram)
    }

    /// Adds what became of its requests that had a time at which they were due; false without a pace.
    public func addDues(to log: inout DueLog) -> Bool {
        guard paced != nil else { return false }
        paced!.add(to: &log)
        return true
    }

    /// Adds what became of a trace's requests; false without one.
    public func addTrace(to figures: inout TraceFigures) -> Bool {
        guard traced != nil else { return false }
        traced!.add(to: &figures)
        return true
    }

    /// For how long it has measured, from when its first request could be due until its last one came back; zero where it
    /// never did.
    public var measuredNanoseconds: Double {
        measuredSince.map {
            clock.nanoseconds(from: TickClock.elapsed(from: $0, to: measuredUntil))
        }
            ?? 0
    }

    /// How many requests in a row were not completed, for want of room for their pins.
    public var failuresInARow: Int { failures.count }
}

// One vCPU thread at a time runs it; whoever started that reads the rest once it has been joined.
extension Driver: @unchecked Sendable {}
