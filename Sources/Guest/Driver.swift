import GuestMemory
import Telemetry
import Virtqueue

/// The guest's driver of one device: it keeps a DMA request in flight, the next as soon as one is completed.
///
/// A closed loop. It checks that what the device says of a request makes sense. Where the guest has pools, a request
/// goes in pieces, and each is copied from the pool to the request's target before the next.
///
/// It begins with requests that are not measured, until all devices have settled; and it knows what ends a turn, so that
/// no request more is submitted than was asked for.
public final class Driver: GuestProgram {
    /// What the driver and its device tell each other beside the queue.
    public struct DeviceSignals {
        /// Wakes the device; nil where it polls.
        let kick: (() -> Void)?
        /// Whether the device has settled.
        let isSettled: () -> Bool
        /// Tells the device from which generation on it measures.
        let measure: (_ generation: UInt64) -> Void
        /// Why the request failed that failed last: the status says only that it did.
        let failure: () -> RequestOutcome

        public init(
            kick: (() -> Void)?, isSettled: @escaping () -> Bool,
            measure: @escaping (_ generation: UInt64) -> Void,
            failure: @escaping () -> RequestOutcome
        ) {
            self.kick = kick
            self.isSettled = isSettled
            self.measure = measure
            self.failure = failure
        }
    }

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
    /// The chain of a request's only piece, built once; nil where there are several.
    private let prepared: PreparedRequest?

    private enum State {
        case idle, inFlight, copying, done
    }
    private var state = State.idle
    /// The piece that is in flight, or comes next, and its number within its request.
    private var piece: Piece
    private var number: UInt64 = 0
    private var generations: [UInt64] = []
    private var hasSettled = false
    /// Whether the request in flight is measured.
    private var isMeasured = false
    private var isMeasuring = false
    private var failures = FailureStreak()
    private var isHopeless = false

    /// Sets the queue of device `index` up in guest memory. `listens` where the vCPU sleeps until a device calls. Without
    /// `copies` nothing is copied out of pools.
    public init(
        of index: Int, map: MemoryMap, view: GuestView, control: TurnControl,
        signals: DeviceSignals, clock: TickClock, listens: Bool = false, copies: Bool = true
    ) throws(PrepareError) {
        self.index = index
        self.map = map
        self.control = control
        self.signals = signals
        self.clock = clock
        self.listens = listens
        piece = map.piece(0, of: index)
        var ring = DriverQueue(map.queueLayout, at: map.queueStarts[index], in: view)
        prepared = map.piecesPerRequest == 1 ? try ring.prepare(data: piece.ranges) : nil
        if !listens { ring.suppressNotifications() }
        self.ring = ring
        self.copies = map.targets.isEmpty || !copies ? nil : CopyLog(clock: clock, view: view)
    }

    public func step(_ moment: Moment) -> ProgramStep {
        switch state {
        case .done: return .done
        case .idle: return startRequest(moment.now)
        case .copying: return copy(moment.now)
        case .inFlight: break
        }
        let completion: Completion?
        do throws(DeviceError) {
            completion = try nextCompletion()
        } catch {
            control.fail(error)
            return finish()
        }
        guard let completion else { return .idle(until: .max) }
        if listens { ring.suppressNotifications() }
        control.noteAnswer()
        guard completion.status == .ok else {
            note(completion.status == nil ? .ioError : signals.failure(), moment.now)
            generations.removeAll(keepingCapacity: true)
            return endRequest(isCompleted: false, moment.now)
        }
        note(.ok, moment.now)
        guard copies != nil else { return endPiece(moment.now) }
        state = .copying
        return .worked
    }

    /// Where the vCPU is going to sleep, the device has to call; what it completed just before is taken at once.
    private func nextCompletion() throws(DeviceError) -> Completion? {
        if let completion = try ring.poll() { return completion }
        guard listens, ring.enableNotifications() else { return nil }
        return try ring.poll()
    }

    private func copy(_ now: UInt64) -> ProgramStep {
        if copies!.step(piece) { _ = endPiece(now) }
        return .workedLong
    }

    private func endPiece(_ now: UInt64) -> ProgramStep {
        number += 1
        guard number == map.piecesPerRequest else { return submit() }
        return endRequest(isCompleted: true, now)
    }

    private func endRequest(isCompleted: Bool, _ now: UInt64) -> ProgramStep {
        copies?.endRequest(counts: isMeasured && isCompleted)
        lastCompleted = generations
        generations.removeAll(keepingCapacity: true)
        number = 0
        if isMeasured { control.noteRequest(isCompleted: isCompleted) }
        return startRequest(now)
    }

    /// The next request, or the end where no more are wanted.
    private func startRequest(_ now: UInt64) -> ProgramStep {
        if !hasSettled, signals.isSettled() {
            hasSettled = true
            control.noteSettled()
        }
        isMeasured = control.mayMeasure(now)
        if control.isOver || (isMeasured && (control.isEnough(now) || !control.claimRequest())) {
            return finish()
        }
        if isMeasured, !isMeasuring {
            isMeasuring = true
            signals.measure(generation + 1)
        }
        return submit()
    }

    private func submit() -> ProgramStep {
        generation += 1
        generations.append(generation)
        if let prepared {
            ring.submit(prepared, generation: generation)
        } else {
            piece = map.piece(number, of: index)
            do throws(PrepareError) {
                try ring.submit(data: piece.ranges, generation: generation)
            } catch {
                preconditionFailure("piece \(number) of a queue laid out for it: \(error)")
            }
        }
        if let kick = signals.kick, ring.deviceWantsNotification() { kick() }
        state = .inFlight
        // A chain that is not prepared may have thousands of ranges.
        return prepared == nil ? .workedLong : .worked
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

    /// How many requests in a row were not completed, for want of room for their pins.
    public var failuresInARow: Int { failures.count }
}

// One vCPU thread at a time runs it; whoever started that reads the rest once it has been joined.
extension Driver: @unchecked Sendable {}
