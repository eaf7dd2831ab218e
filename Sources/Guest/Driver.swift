import GuestMemory
import Linux
import Synchronization
import Virtqueue

/// The guest's driver: it keeps one DMA request per device in flight, the next as soon as one is completed.
///
/// A closed loop. It runs in one vCPU thread and checks that what a device says of a request makes sense.
public final class Driver {
    /// The generation of the request most recently submitted, to any device. Other threads may read it.
    public let generation = Atomic<UInt64>(0)

    private let map: MemoryMap
    private let view: GuestView
    private var queues: [Queue]
    /// Sleeps until a device says that it has used a buffer, or a while has passed; nil to poll.
    private let waitForInterrupt: (@Sendable () -> Void)?

    private final class Queue {
        var ring: DriverQueue
        let request: PreparedRequest
        /// Tells the device; nil where it polls.
        let kick: (@Sendable () -> Void)?

        init(ring: consuming DriverQueue, request: PreparedRequest, kick: (@Sendable () -> Void)?) {
            self.ring = ring
            self.request = request
            self.kick = kick
        }
    }

    /// Sets the queues up in guest memory. The kicks and the interrupt are nil where both sides poll.
    public init(
        map: MemoryMap, view: GuestView, kicks: [(@Sendable () -> Void)?],
        waitForInterrupt: (@Sendable () -> Void)?
    ) throws(PrepareError) {
        self.map = map
        self.view = view
        self.waitForInterrupt = waitForInterrupt
        queues = []
        for (index, kick) in kicks.enumerated() {
            var ring = DriverQueue(map.queueLayout, at: map.queueStarts[index], in: view)
            let request = try ring.prepare(data: map.buffers[index].ranges)
            queues.append(Queue(ring: ring, request: request, kick: kick))
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

    /// Submits and reaps until `shouldStop`, then waits for what is in flight, unless `isAbandoned` says that a
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
                guard try queue.ring.poll() != nil else { continue }
                progressed = true
                if shouldStop() {
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

    private func submit(_ queue: Queue) {
        let next = generation.load(ordering: .relaxed) + 1
        generation.store(next, ordering: .releasing)
        queue.ring.submit(queue.request, generation: next)
        if let kick = queue.kick, queue.ring.deviceWantsNotification() { kick() }
    }
}

// One vCPU thread at a time runs it; `generation` is atomic.
extension Driver: @unchecked Sendable {}
