import GuestMemory
import PinLock
import Telemetry
import VhostUser
import Virtqueue

/// The queues of a device that serves: those that the front-end has started, by their numbers.
final class ServedQueues {
    private var queues: [ServedQueue?]
    /// Hears of a queue that is lost, and why.
    private let lost: (Int, String) -> Void

    /// A queue's part of a round through all of them.
    private static let batch = 32
    /// Between two looks at a queue whose front-end gives no kick.
    private static let pollMilliseconds: UInt64 = 1

    init(count: Int, lost: @escaping (Int, String) -> Void) {
        queues = Array(repeating: nil, count: count)
        self.lost = lost
    }

    // MARK: Serving

    /// Serves a part of what each has; whether one may have more.
    func serve(_ turn: ServedTurn, _ view: GuestView, of backend: borrowing Backend) -> Bool {
        let log = backend.features.contains(.logAll) ? backend.dirtyLog : nil
        var hasMore = false
        for index in queues.indices {
            guard let queue = queues[index], backend.mayServe(index) else { continue }
            let (served, broken) =
                turn.recording == nil
                ? queue.serve(atMost: Self.batch, turn, view, log)
                : serveRecorded(queue, turn, view, log, of: backend)
            hasMore = hasMore || served == Self.batch
            if let broken { lose(queue, "the virtqueue is broken: \(broken)") }
        }
        return hasMore
    }

    /// The same where requests are recorded: between any two of them a look at all queues, since what arrives is noted when
    /// it is seen.
    private func serveRecorded(
        _ queue: ServedQueue, _ turn: ServedTurn, _ view: GuestView, _ log: DirtyLog?,
        of backend: borrowing Backend
    ) -> (count: Int, broken: BrokenQueue?) {
        for served in 0..<Self.batch {
            let now = turn.clock.now()
            for case let other? in queues where backend.mayServe(other.number) {
                other.noteArrivals(now)
            }
            let (count, broken) = queue.serve(atMost: 1, turn, view, log)
            if count == 0 || broken != nil { return (served + count, broken) }
        }
        return (Self.batch, nil)
    }

    /// The descriptors that say when a queue has something, and how long to wait for them at most; where nobody is busy, the
    /// guest is asked to use them.
    func kicks(isBusy: Bool, of backend: borrowing Backend) -> (numbers: [Int32], atMost: UInt64) {
        var numbers: [Int32] = []
        var milliseconds = UInt64.max
        for (index, queue) in queues.enumerated() {
            guard let queue, backend.mayServe(index) else { continue }
            if !isBusy, queue.sleep() { milliseconds = 0 }
            if let kick = queue.kick {
                numbers.append(kick.raw)
            } else if !queue.isBroken {
                milliseconds = min(milliseconds, Self.pollMilliseconds)
            }
        }
        return (numbers, milliseconds)
    }

    // MARK: What the front-end wants

    /// Throws where it cannot be known where to begin.
    func start(
        _ index: Int, _ view: GuestView, _ turn: ServedTurn?, of backend: borrowing Backend
    ) throws {
        let queue = try ServedQueue(
            index, backend.queues[index], features: backend.features, memory: backend.memory,
            view: view, inflight: backend.inflight)
        queues[index] = queue
        if let turn { pinRings(of: queue, turn) }
        queue.wakeDriver()
    }

    func take(_ index: Int, of backend: borrowing Backend) {
        queues[index]?.take(backend.queues[index])
    }

    /// Where it stops. One that never came into being stops where it was to begin.
    func stop(_ index: Int, _ turn: ServedTurn?, of backend: borrowing Backend) -> UInt16 {
        defer { queues[index] = nil }
        turn?.unpinRings(of: index)
        return queues[index]?.next ?? backend.queues[index].base
    }

    /// Goes on in another mapping of guest memory, between two requests.
    func move(to view: GuestView, of backend: borrowing Backend) throws {
        for case let queue? in queues {
            queues[queue.number] = try ServedQueue(
                queue, backend.queues[queue.number], features: backend.features, view: view)
        }
    }

    // MARK: Pins

    func pinRings(_ turn: ServedTurn) {
        for case let queue? in queues { pinRings(of: queue, turn) }
    }

    private func pinRings(of queue: ServedQueue, _ turn: ServedTurn) {
        guard !queue.isBroken else { return }
        do throws(PinRefusal) {
            try turn.pinRings(queue.pages, of: queue.number)
        } catch {
            queue.breakDown()
            lose(queue, "the pages of its rings cannot be pinned: \(error)")
        }
    }

    private func lose(_ queue: ServedQueue, _ why: String) {
        lost(queue.number, "queue \(queue.number): \(why)")
    }
}
