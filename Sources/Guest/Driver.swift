import GuestMemory
import Linux
import Synchronization
import Telemetry
import Virtqueue

/// The guest's driver: it keeps one DMA request per device in flight, the next as soon as one is completed.
///
/// A closed loop. It runs in one vCPU thread and checks that what a device says of a request makes sense. Where the
/// guest has pools, a request goes in pieces, and each is copied from the pool to the request's target before the next.
public final class Driver {
    /// The generation of the piece most recently submitted, to any device; a request without a pool is one piece.
    /// Other threads may read it.
    public let generation = Atomic<UInt64>(0)
    /// What the guest has copied since `countFromNextRequest`; nil where it copies nothing.
    public let copies: CopyLog?

    /// Copies of requests that begin before this generation are not counted.
    private let counted = Atomic<UInt64>(.max)
    private let map: MemoryMap
    private let view: GuestView
    private var queues: [Queue]
    /// Sleeps until a device says that it has used a buffer, or a while has passed; nil to poll.
    private let waitForInterrupt: (@Sendable () -> Void)?

    private final class Queue {
        let index: Int
        var ring: DriverQueue
        /// Tells the device; nil where it polls.
        let kick: (@Sendable () -> Void)?
        /// The piece that is in flight, or comes next.
        var piece: Piece
        var number: UInt64 = 0
        /// The chain of a request's only piece, built once; nil where there are several.
        let prepared: PreparedRequest?
        /// Of the request in flight: the generation of its first piece, and the time its copies took, in ticks.
        var first: UInt64 = 0
        var copyTicks: UInt64 = 0

        init(
            _ index: Int, _ map: MemoryMap, ring: consuming DriverQueue,
            kick: (@Sendable () -> Void)?
        ) throws(PrepareError) {
            self.index = index
            self.kick = kick
            piece = map.piece(0, of: index)
            prepared = map.piecesPerRequest == 1 ? try ring.prepare(data: piece.ranges) : nil
            self.ring = ring
        }
    }

    /// Sets the queues up in guest memory. The kicks and the interrupt are nil where both sides poll; without a clock
    /// nothing is copied out of pools.
    public init(
        map: MemoryMap, view: GuestView, kicks: [(@Sendable () -> Void)?],
        waitForInterrupt: (@Sendable () -> Void)?, copyClock: TickClock? = nil
    ) throws(PrepareError) {
        copies =
            map.targets.isEmpty ? nil : copyClock.map { clock in CopyLog(clock: clock, view: view) }
        self.map = map
        self.view = view
        self.waitForInterrupt = waitForInterrupt
        queues = []
        for (index, kick) in kicks.enumerated() {
            let ring = DriverQueue(map.queueLayout, at: map.queueStarts[index], in: view)
            queues.append(try Queue(index, map, ring: ring, kick: kick))
        }
    }

    /// Shares what the devices are going to touch: their queues, then their buffers. The first refusal, or nil.
    ///
    /// All memory of the guest starts private; this is the explicit conversion before any DMA.
    public func share(_ ranges: [PageRange], through hypercalls: some Hypercalls)
        -> PageStateChange?
    {
        for range in ranges {
            let answer = hypercalls.changePageState(
                range, toPrivate: false, due: monotonicNanoseconds())
            if answer != .done { return answer }
        }
        return nil
    }

    /// Counts copies from the next request on, and returns the first generation that it can have.
    public func countFromNextRequest() -> UInt64 {
        let first = generation.load(ordering: .acquiring) + 1
        counted.store(first, ordering: .releasing)
        return first
    }

    /// Submits and reaps until `shouldStop`, then waits for the requests in flight, unless `isAbandoned` says that a
    /// device will not answer any more. Throws where a device breaks the queue.
    public func run(
        shouldStop: () -> Bool, isAbandoned: () -> Bool
    ) throws(DeviceError) {
        for queue in queues { submit(queue) }
        var idle = Backoff()
        var outstanding = queues.count
        while outstanding > 0, !isAbandoned() {
            var progressed = false
            for queue in queues {
                guard let completion = try queue.ring.poll() else { continue }
                progressed = true
                if finish(completion, of: queue), shouldStop() {
                    outstanding -= 1
                } else {
                    submit(queue)
                }
            }
            if progressed { idle = Backoff() } else { wait(&idle) }
        }
    }

    private func wait(_ idle: inout Backoff) {
        guard let waitForInterrupt else { return idle.pause() }
        var hasMore = false
        for queue in queues where queue.ring.enableNotifications() { hasMore = true }
        if !hasMore { waitForInterrupt() }
        for queue in queues { queue.ring.suppressNotifications() }
    }

    /// Copies the piece that has come; true where its request is over, since it was the last or the device failed it.
    private func finish(_ completion: Completion, of queue: Queue) -> Bool {
        guard completion.status?.code == .ok else {
            queue.number = 0
            queue.copyTicks = 0
            return true
        }
        if let copies { queue.copyTicks &+= copies.carryOut(queue.piece) }
        queue.number += 1
        guard queue.number == map.piecesPerRequest else { return false }
        if let copies, queue.first >= counted.load(ordering: .relaxed) {
            copies.record(ticks: queue.copyTicks)
        }
        queue.number = 0
        queue.copyTicks = 0
        return true
    }

    private func submit(_ queue: Queue) {
        let next = generation.load(ordering: .relaxed) + 1
        generation.store(next, ordering: .releasing)
        if queue.number == 0 { queue.first = next }
        if let prepared = queue.prepared {
            queue.ring.submit(prepared, generation: next)
        } else {
            queue.piece = map.piece(queue.number, of: queue.index)
            do throws(PrepareError) {
                try queue.ring.submit(data: queue.piece.ranges, generation: next)
            } catch {
                preconditionFailure("piece \(queue.number) of a queue laid out for it: \(error)")
            }
        }
        if let kick = queue.kick, queue.ring.deviceWantsNotification() { kick() }
    }
}

// One vCPU thread at a time runs it; `generation` is atomic.
extension Driver: @unchecked Sendable {}
