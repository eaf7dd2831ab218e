import GuestMemory
import Telemetry
import Virtqueue

/// The guest's driver of one device: it keeps requests in flight, as many as it may, each as soon as it is due.
///
/// Without a pace it is a closed loop: the next request comes as soon as one is completed. With one each request has its
/// time, and what comes late counts from there. It checks that what the device says of a request makes sense. Where the
/// guest has pools, a request goes in pieces, and each is copied from the pool to the request's target before the next.
///
/// It begins with requests that are not measured, at no pace, until all devices have settled; and it knows what ends a
/// turn, so that no request more is submitted than was asked for.
public final class Driver: GuestProgram {
    /// The generation of the piece most recently submitted; a request without a pool is one piece.
    public private(set) var generation: UInt64 = 0
    /// The pieces' generations of the last request, where it was completed; empty where it was not.
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
    /// The chains of the requests that are not in flight, built once; where a request has several pieces there are none.
    private var prepared: [PreparedRequest] = []
    private let depth: Int

    private enum State {
        case running, copying, done
    }
    private var state = State.running
    /// The piece that is in flight or copied, or comes next, and its number within its request.
    private var piece: Piece
    private var number: UInt64 = 0
    private var completion: Completion?
    private var generations: [UInt64] = []
    private var hasSettled = false
    /// From which generation on requests are measured.
    private var measuredFrom = UInt64.max
    private var failures = FailureStreak()
    private var isHopeless = false

    private var paced: PacedRequests?
    /// Those of a trace; nil where each request is the buffer.
    private var traced: TraceRequests?

    /// Sets the queue of device `index` up in guest memory, for as many requests in flight as it has room for. `listens`
    /// where the vCPU sleeps until a device calls. Without `copies` nothing is copied out of pools. With a `trace` requests
    /// are the trace's, whose guest the map is of.
    public init(
        of index: Int, map: MemoryMap, view: GuestView, control: TurnControl,
        signals: DeviceSignals, clock: TickClock, pace: (any RequestPace)? = nil,
        trace: TraceLayout? = nil, listens: Bool = false, copies: Bool = true
    ) throws(PrepareError) {
        self.index = index
        self.map = map
        self.control = control
        self.signals = signals
        self.clock = clock
        self.listens = listens
        piece = map.piece(0, of: index)
        var ring = DriverQueue(map.queueLayout, at: map.queueStarts[index], in: view)
        depth = map.queueLayout.requests
        if map.piecesPerRequest == 1, trace == nil {
            for _ in 0..<depth { prepared.append(try ring.prepare(data: piece.ranges)) }
        }
        precondition(depth == 1 || map.targets.isEmpty, "a pool is one request's at a time")
        if !listens { ring.suppressNotifications() }
        self.ring = ring
        self.copies = map.targets.isEmpty || !copies ? nil : CopyLog(clock: clock, view: view)
        paced = pace.map { [depth] in PacedRequests($0, places: depth, clock: clock) }
        traced = trace.map { [depth] in TraceRequests($0, places: depth) }
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
            return finish()
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
        guard copies != nil else { return endPiece(completion, moment.now) }
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

    private func copy() -> ProgramStep {
        if copies!.step(piece) {
            state = .running
            // A copy takes long: the present is not when the step began.
            _ = endPiece(completion!, clock.now())
        }
        return .workedLong
    }

    private func endPiece(_ completion: Completion, _ now: UInt64) -> ProgramStep {
        number += 1
        guard number == map.piecesPerRequest else { return submitPiece() }
        return endRequest(completion, now)
    }

    /// Takes the end of a request, of which generations are there where it was completed.
    private func endRequest(_ completion: Completion, _ now: UInt64) -> ProgramStep {
        let isCompleted = !generations.isEmpty
        swap(&lastCompleted, &generations)
        generations.removeAll(keepingCapacity: true)
        let isMeasured = completion.generation >= measuredFrom
        copies?.endRequest(counts: isMeasured && isCompleted)
        number = 0
        if traced != nil {
            // Its data is checked by nobody: later requests may have written there as well.
            lastCompleted.removeAll(keepingCapacity: true)
            traced!.end(place: completion.request.slot, counts: isMeasured && isCompleted)
        } else if map.piecesPerRequest == 1 {
            prepared.append(completion.request)
        }
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
            paced?.finish(at: now)
            return comeToTheEnd()
        }
        guard isMeasured else { return submitBefore(now) }
        var due = now
        if paced != nil {
            guard let next = paced!.next(at: now) else { return comeToTheEnd() }
            guard next <= now else { return .idle(until: next) }
            due = next
        }
        guard control.claimRequest() else { return comeToTheEnd() }
        if measuredFrom == .max {
            measuredFrom = generation + 1
            signals.measure(measuredFrom)
        }
        if traced != nil {
            paced?.take(place: submitTraced(isMeasured: true), due: due, at: now)
            return .workedLong
        }
        paced?.take(place: prepared.last?.slot ?? 0, due: due, at: now)
        return submit()
    }

    /// One more request of the warm-up. Of a trace one at a time: what is measured does not wait behind many of them.
    private func submitBefore(_ now: UInt64) -> ProgramStep {
        guard traced != nil else { return submit() }
        guard ring.outstanding == 0 else { return .idle(until: .max) }
        _ = submitTraced(isMeasured: false)
        return .workedLong
    }

    /// Submits the trace's next request; its place in the queue.
    private func submitTraced(isMeasured: Bool) -> Int {
        generation += 1
        let request = traced!.submit(to: &ring, generation: generation, isMeasured: isMeasured)
        if let kick = signals.kick, ring.deviceWantsNotification() { kick() }
        return request.slot
    }

    private func submit() -> ProgramStep {
        guard let request = prepared.popLast() else { return submitPiece() }
        generation += 1
        ring.submit(request, generation: generation)
        if let kick = signals.kick, ring.deviceWantsNotification() { kick() }
        return .worked
    }

    /// A chain that is not prepared may have thousands of ranges.
    private func submitPiece() -> ProgramStep {
        generation += 1
        piece = map.piece(number, of: index)
        do throws(PrepareError) {
            try ring.submit(data: piece.ranges, generation: generation)
        } catch {
            preconditionFailure("piece \(number) of a queue laid out for it: \(error)")
        }
        if let kick = signals.kick, ring.deviceWantsNotification() { kick() }
        return .workedLong
    }

    /// No more requests are wanted for now: done, once those in flight have come back. One of them may be refused, and is
    /// then made up for.
    private func comeToTheEnd() -> ProgramStep {
        ring.outstanding > 0 ? .idle(until: .max) : finish()
    }

    private func finish() -> ProgramStep {
        state = .done
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

    /// How many requests in a row were not completed, for want of room for their pins.
    public var failuresInARow: Int { failures.count }
}

// One vCPU thread at a time runs it; whoever started that reads the rest once it has been joined.
extension Driver: @unchecked Sendable {}
