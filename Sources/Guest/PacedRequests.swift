import Telemetry

/// The requests of a driver that has a pace: when each of them is due, and what becomes of it.
struct PacedRequests: ~Copyable {
    private var pace: any RequestPace
    private var hasBegun = false
    private var isOver = false
    private let clock: TickClock
    private var log = DueLog()
    /// When those in flight were due, by their places in the queue.
    private var dues: [UInt64]
    /// When the last one came back.
    private var lastEnd: UInt64 = 0

    /// `places` is how many requests the queue has room for.
    init(_ pace: any RequestPace, places: Int, clock: TickClock) {
        self.pace = pace
        self.clock = clock
        dues = Array(repeating: 0, count: places)
    }

    /// When the next request is due; nil where none is any more. The pace begins with the first question.
    mutating func next(at now: UInt64) -> UInt64? {
        if !hasBegun {
            hasBegun = true
            pace.begin(at: now)
        }
        return pace.due(after: lastEnd)
    }

    /// The request that was due goes to that place of the queue. So many more are to be sent at most, and others wait for
    /// nothing.
    mutating func take(place: Int, due: UInt64, at now: UInt64, left: UInt64 = .max) {
        dues[place] = due
        pace.take()
        log.note(backlog: min(pace.waiting(at: now), left))
    }

    /// The request of that place has come back; it counts where it was measured and completed.
    mutating func end(place: Int, at now: UInt64, counts: Bool) {
        lastEnd = now
        guard counts else { return }
        let elapsed = TickClock.elapsed(from: dues[place], to: now)
        log.note(latency: clock.nanoseconds(from: elapsed))
    }

    /// The most that is counted at a turn's end: to walk there takes some tenths of a second.
    private static let mostCounted: UInt64 = 10_000_000

    /// The turn is over: what is due by now and has not been taken waits as well, of those that were still to be sent.
    mutating func finish(at now: UInt64, left: UInt64) {
        guard hasBegun, !isOver else { return }
        isOver = true
        var waiting: UInt64 = 0
        while waiting < min(left, Self.mostCounted) {
            let known = waiting
            waiting = pace.waiting(at: now)
            if waiting == known { break }
        }
        log.note(backlog: min(waiting, left))
    }

    func add(to other: inout DueLog) { other.add(log) }
}
