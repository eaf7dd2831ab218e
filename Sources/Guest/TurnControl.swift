import Synchronization
import Telemetry
import Virtqueue

/// What the programs of a turn tell one another, and the hypervisor them: when the measurement begins, when it is over.
///
/// Drivers decide both, since they know what has been submitted: nobody has to collect anything meanwhile. All times
/// are ticks of one clock.
public final class TurnControl: Sendable {
    /// When enough has been measured.
    public struct Limits: Sendable {
        /// So many requests, of all devices together.
        public var operations: UInt64
        /// Whether there are no more of them than that.
        public var isExact: Bool
        /// And so long, at least and at most: at the latter it is over once there is one request.
        public var shortest: UInt64
        public var longest: UInt64
        /// The measurement begins after so long, whether or not the devices have settled.
        public var warmUp: UInt64

        public init(
            operations: UInt64, isExact: Bool, shortest: UInt64, longest: UInt64, warmUp: UInt64
        ) {
            self.operations = operations
            self.isExact = isExact
            self.shortest = shortest
            self.longest = longest
            self.warmUp = warmUp
        }
    }

    private let limits: Limits
    private let devices: Int
    private let stop = Atomic(false)
    private let abandoned = Atomic(false)
    /// Drivers whose device has settled, and that have come to their end.
    private let settled = Atomic(0)
    private let ended = Atomic(0)
    /// When the warm-up and the measurement began; zero before that.
    private let begun = Atomic<UInt64>(0)
    private let measured = Atomic<UInt64>(0)
    /// Measured requests that have been submitted, completed, refused.
    private let submitted = Atomic<UInt64>(0)
    private let completed = Atomic<UInt64>(0)
    private let refused = Atomic<UInt64>(0)
    private let failing = Atomic(0)
    /// Requests and pieces of them that have come back, measured or not.
    private let answered = Atomic<UInt64>(0)
    private let firstError = Mutex<DeviceError?>(nil)

    public init(_ limits: Limits, devices: Int) {
        self.limits = limits
        self.devices = devices
    }

    /// Of a guest whose drivers are none of ours: it is measured from now on, in ticks, until the end that is asked for.
    public convenience init(measuringFrom now: UInt64) {
        self.init(
            Limits(operations: 1, isExact: false, shortest: .max, longest: .max, warmUp: 0),
            devices: 1)
        _ = mayMeasure(now)
    }

    // MARK: For the hypervisor

    /// Asks the programs to come to their end.
    public func end() { stop.store(true, ordering: .releasing) }

    /// A device is dead: nobody will complete what is in flight. The vCPUs return at once.
    public func abandon() {
        stop.store(true, ordering: .releasing)
        abandoned.store(true, ordering: .releasing)
    }

    public var isAbandoned: Bool { abandoned.load(ordering: .acquiring) }
    public var isMeasuring: Bool { measured.load(ordering: .acquiring) != 0 }

    /// Whether every driver has come to its end, with nothing in flight.
    public var driversAreDone: Bool { ended.load(ordering: .acquiring) == devices }

    /// How a device broke its queue; nil where none did.
    public var deviceError: DeviceError? { firstError.withLock { $0 } }

    /// Moves whenever a device answers.
    public var answerCount: UInt64 { answered.load(ordering: .relaxed) }

    /// Whether no device gets its pins any more.
    public var isHopeless: Bool {
        let failing = failing.load(ordering: .relaxed)
        return failing > 0 && failing + ended.load(ordering: .relaxed) >= devices
    }

    // MARK: For the programs

    /// Whether programs have been asked to come to their end at once.
    public var isStopped: Bool { stop.load(ordering: .acquiring) }
    /// Whether they should come to their end: asked to, or the drivers have enough.
    var isOver: Bool { isStopped || driversAreDone }

    func noteAnswer() { answered.wrappingAdd(1, ordering: .relaxed) }
    func noteSettled() { settled.wrappingAdd(1, ordering: .relaxed) }
    func noteEnd() { ended.wrappingAdd(1, ordering: .releasing) }
    func noteHopeless(_ isHopeless: Bool) {
        failing.wrappingAdd(isHopeless ? 1 : -1, ordering: .relaxed)
    }

    func fail(_ error: DeviceError) {
        firstError.withLock { $0 = $0 ?? error }
        end()
    }

    /// Whether requests that are submitted from now on count: once every device has settled, or the warm-up has taken
    /// long enough.
    func mayMeasure(_ now: UInt64) -> Bool {
        if isMeasuring { return true }
        _ = begun.compareExchange(expected: 0, desired: now, ordering: .relaxed)
        let start = begun.load(ordering: .relaxed)
        guard
            settled.load(ordering: .relaxed) == devices
                || TickClock.elapsed(from: start, to: now) >= limits.warmUp
        else { return false }
        _ = measured.compareExchange(
            expected: 0, desired: max(now, 1), ordering: .acquiringAndReleasing)
        return true
    }

    /// Whether another measured request is wanted; it is then taken for submitted.
    func claimRequest() -> Bool {
        // Never more than there may be, for a moment either: another driver would take that for enough.
        var count = submitted.load(ordering: .relaxed)
        while !limits.isExact || count < limits.operations {
            let (exchanged, now) = submitted.compareExchange(
                expected: count, desired: count &+ 1, ordering: .relaxed)
            if exchanged { return true }
            count = now
        }
        return false
    }

    /// How many more measured requests there are to be at most.
    var requestsLeft: UInt64 {
        guard limits.isExact else { return .max }
        let count = submitted.load(ordering: .relaxed)
        return count < limits.operations ? limits.operations - count : 0
    }

    /// Takes the end of a measured request; one that was refused is made up for.
    func noteRequest(isCompleted: Bool) {
        if isCompleted {
            completed.wrappingAdd(1, ordering: .relaxed)
        } else {
            refused.wrappingAdd(1, ordering: .relaxed)
            submitted.wrappingSubtract(1, ordering: .relaxed)
        }
    }

    /// Whether enough has been measured.
    func isEnough(_ now: UInt64) -> Bool {
        let start = measured.load(ordering: .relaxed)
        guard start != 0 else { return false }
        let elapsed = TickClock.elapsed(from: start, to: now)
        let done = completed.load(ordering: .relaxed)
        if elapsed >= limits.longest { return done + refused.load(ordering: .relaxed) > 0 }
        return done >= limits.operations && elapsed >= limits.shortest
    }
}
