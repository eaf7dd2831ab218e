import GuestMemory
import PinLock
import Telemetry
import VhostUser
import Virtqueue

/// A started queue of a guest of somebody else's: requests out of it, into the log of those under way, and back.
///
/// One request is under way at a time, so all are finished in the order in which they were made available. A request is in
/// the log before anything is done for it, and until the used ring's index has passed it.
final class ServedQueue {
    let number: Int
    private var queue: DeviceQueue
    private var request: DeviceRequest
    private var log: InflightQueue?
    /// Heads that the device before this one left.
    private var again: [UInt16]
    /// The pages of the rings.
    let pages: [PageRange]
    private(set) var isBroken = false
    private(set) var call: EventDescriptor?
    private var error: EventDescriptor?
    private(set) var kick: EventDescriptor?
    /// Where the dirty log has the used ring; nil where its writes are not logged.
    private var usedRingLog: UInt64?
    private let usedRingByteCount: UInt64
    private let queueSize: Int
    /// Nil where nothing is recorded.
    private var arrivals: ArrivalTimes?

    /// Finds out where to begin.
    init(
        _ number: Int, _ started: Queue, features: VirtioFeatures, memory: MemoryTable,
        view: GuestView, inflight: InflightLog?
    ) throws {
        let rings = started.rings!
        var log = inflight.flatMap { $0.queueCount > number ? $0.queue(number) : nil }
        let point = try ResumePoint(rings, base: started.base, in: memory, log: &log)
        let places = try Self.places(rings, features)
        pages = try places.pages(in: view)
        self.number = number
        queue = try DeviceQueue(
            places, registered: pages, in: view, available: point.next,
            used: point.next &- UInt16(point.again.count))
        request = DeviceRequest(queueSize: rings.size)
        queueSize = rings.size
        self.log = log
        again = point.again.reversed()
        usedRingByteCount = rings.usedRingByteCount
        take(started)
    }

    /// The same queue in another mapping of guest memory, between two requests.
    init(_ old: ServedQueue, _ started: Queue, features: VirtioFeatures, view: GuestView) throws {
        let rings = started.rings!
        let places = try Self.places(rings, features)
        pages = try places.pages(in: view)
        arrivals = old.arrivals
        number = old.number
        queue = try DeviceQueue(
            places, registered: pages, in: view, available: old.queue.availableIndex,
            used: old.queue.usedIndex)
        request = DeviceRequest(queueSize: rings.size)
        queueSize = rings.size
        log = old.log.take()
        again = old.again
        isBroken = old.isBroken
        usedRingByteCount = rings.usedRingByteCount
        take(started)
    }

    private static func places(
        _ rings: QueueRings, _ features: VirtioFeatures
    ) throws(RingError) -> VirtqueueRings {
        try VirtqueueRings(
            queueSize: rings.size, descriptorTable: rings.descriptorTable,
            availableRing: rings.availableRing, usedRing: rings.usedRing,
            usesEventIndex: features.contains(.eventIndex))
    }

    /// The descriptors that the front-end has given since.
    func take(_ changed: Queue) {
        (kick, call, error) = (changed.kick, changed.call, changed.error)
        usedRingLog = changed.addresses?.usedRingLog
    }

    /// Where the front-end is told that the queue stops.
    var next: UInt16 { queue.availableIndex }

    /// Tells the driver whatever was done: the device before this one may have died before it did.
    func wakeDriver() { call?.notify() }

    /// Nothing of it can be believed any more, or its rings cannot be had.
    func breakDown() {
        isBroken = true
        error?.notify()
    }

    /// Asks for kicks; true where a request has come meanwhile.
    func sleep() -> Bool { isBroken ? false : !again.isEmpty || queue.enableNotifications() }

    /// Serves up to so many requests: how many there were, and why the queue broke where it did.
    func serve(
        atMost limit: Int, _ turn: ServedTurn, _ view: GuestView, _ dirtyLog: DirtyLog?
    ) -> (count: Int, broken: BrokenQueue?) {
        guard !isBroken else { return (0, nil) }
        var count = 0
        queue.suppressNotifications()
        while count < limit {
            let depth = queue.depth
            let arrival = turn.recording == nil ? 0 : nextArrival(turn.clock)
            switch takeNext(turn, view) {
            case .empty: return (count, nil)
            case .broken(let reason):
                breakDown()
                return (count, reason)
            case .valid where request.type == .flush:
                finish(turn.server.mover.flush() ? .ok : .ioError, 0, turn, dirtyLog)
            case .valid:
                let (status, written) = turn.serve(&request, depth: depth)
                finish(status, written, turn, dirtyLog)
                // Once the guest has its answer: nobody waits for this.
                turn.record(request, of: number, arrival: arrival)
            case .unsupported: finish(.unsupported, 0, turn, dirtyLog)
            case .invalid: finish(.ioError, 0, turn, dirtyLog)
            }
            turn.lookAround()
            count += 1
        }
        return (count, nil)
    }

    /// Looks which requests are there by now, in ticks.
    func noteArrivals(_ now: UInt64) {
        guard !isBroken else { return }
        let (next, depth) = (queue.availableIndex, UInt16(truncatingIfNeeded: queue.depth))
        if arrivals == nil { arrivals = ArrivalTimes(queueSize: queueSize, from: next) }
        arrivals!.note(from: next, before: queue.usedIndex &+ depth, at: now)
    }

    /// When the request that comes next was seen to be there, in ticks. Nobody has seen one that the device before this one
    /// left, or that is made available before it is taken: those have the present.
    @inline(never)
    private func nextArrival(_ clock: TickClock) -> UInt64 {
        guard again.isEmpty, let known = arrivals?.arrival(of: queue.availableIndex) else {
            return clock.now()
        }
        return known
    }

    @inline(__always)
    private func takeNext(_ turn: ServedTurn, _ view: GuestView) -> NextRequest {
        if let head = again.popLast() {
            return queue.takeAgain(head, into: &request, from: view, reading: &turn.server.pins)
        }
        let next = queue.next(into: &request, from: view, reading: &turn.server.pins)
        switch next {
        case .valid, .unsupported, .invalid: log?.begin(request.head)
        case .empty, .broken: break
        }
        return next
    }

    private func finish(
        _ status: RequestStatus, _ written: UInt64, _ turn: ServedTurn, _ dirtyLog: DirtyLog?
    ) {
        turn.server.writeStatus(status, of: &request)
        log?.willPublish(request.head)
        queue.complete(&request, with: status, bytesWritten: written)
        log?.didPublish(usedIndex: queue.usedIndex)
        if let dirtyLog { mark(written, in: dirtyLog) }
        if queue.driverWantsNotification() { call?.notify() }
    }

    /// Marks what the request has written, after it was: data, status, and the used ring.
    private func mark(_ written: UInt64, in log: DirtyLog) {
        var left = written
        for index in 0..<request.segmentCount where left > 0 {
            let segment = request.segment(index)
            let count = min(left, segment.byteCount)
            _ = log.mark(segment.address, byteCount: count)
            left -= count
        }
        if let address = request.writtenStatusAddress { _ = log.mark(address, byteCount: 1) }
        if let usedRingLog { _ = log.mark(usedRingLog, byteCount: usedRingByteCount) }
    }
}
