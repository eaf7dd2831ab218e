import DmaLinux
import Synchronization

/// A thread that writes a slice of each request for its owner, and sleeps in between.
///
/// One word hands the work over and back; each side spins on it for a while, then marks it and
/// sleeps, and whoever finds the mark wakes the other: no wake-up is lost, and none is paid for
/// that nobody waits for.
final class Lane {
    private let mailbox = Mailbox()
    private var thread: WorkerThread?

    init(name: String, filler: Filler) throws(SystemError) {
        thread = try WorkerThread(name: name) { [mailbox] in
            while let job = mailbox.nextJob() {
                mailbox.complete(
                    filler.fill(job.start, byteCount: job.byteCount, stamp: job.stamp))
            }
        }
    }

    /// Hands a slice to the thread, which sees every earlier store of the caller (release).
    func begin(_ job: Job) { mailbox.post(job) }

    /// Waits until the slice handed over is written; its stores happen before the return (acquire).
    /// Returns at once where none was. Where a store of it faulted; nil where none did.
    func finish() -> UnsafeMutableRawPointer? { mailbox.awaitCompletion() }

    deinit {
        mailbox.stop()
        thread.take()?.join()
    }
}

/// A slice to write.
struct Job {
    let start: UnsafeMutableRawPointer
    let byteCount: Int
    let stamp: Stamp
}

/// Where the two threads of a lane meet.
private final class Mailbox {
    private enum State: UInt32 {
        /// The thread has nothing to do, and watches.
        case idle
        /// The same, asleep.
        case idleAsleep
        /// The thread writes; the owner may watch.
        case busy
        /// The same, with the owner asleep.
        case busyAwaited
        case stopped
    }

    /// Turns of `Backoff` before sleeping: some 100 us, longer than the gap between two requests.
    private static let spinTurns = 256

    private let word: UnsafeMutablePointer<FutexWord>
    private var job: Job?
    private var fault: UnsafeMutableRawPointer?

    init() {
        // The word has two lines of its own: the adjacent-line prefetcher pulls pairs.
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 128, alignment: 128)
        word = memory.bindMemory(to: FutexWord.self, capacity: 1)
        word.initialize(to: FutexWord(State.idle.rawValue))
    }

    deinit {
        word.deinitialize(count: 1)
        word.deallocate()
    }

    func post(_ next: Job) {
        job = next
        move(to: .busy, wakingFrom: .idleAsleep)
    }

    func awaitCompletion() -> UnsafeMutableRawPointer? {
        wait(while: .busy, asleep: .busyAwaited)
        // Once: a lane that had no part of the next range has no fault in it.
        return fault.take()
    }

    func stop() { move(to: .stopped, wakingFrom: .idleAsleep) }

    /// The next job; nil when the lane ends.
    func nextJob() -> Job? {
        wait(while: .idle, asleep: .idleAsleep)
        return word.pointee.load(ordering: .acquiring) == State.stopped.rawValue ? nil : job
    }

    func complete(_ fault: UnsafeMutableRawPointer?) {
        self.fault = fault
        move(to: .idle, wakingFrom: .busyAwaited)
    }

    private func move(to state: State, wakingFrom sleeping: State) {
        let old = word.pointee.exchange(state.rawValue, ordering: .acquiringAndReleasing)
        if old == sleeping.rawValue { Futex.wakeOne(word) }
    }

    /// Returns once the word is neither `state` nor `sleeping`, having acquired whatever changed
    /// it.
    private func wait(while state: State, asleep sleeping: State) {
        var backoff = Backoff()
        for _ in 0..<Self.spinTurns {
            if word.pointee.load(ordering: .acquiring) != state.rawValue { return }
            backoff.pause()
        }
        let (marked, _) = word.pointee.compareExchange(
            expected: state.rawValue, desired: sleeping.rawValue,
            ordering: .acquiringAndReleasing)
        guard marked else { return }
        while word.pointee.load(ordering: .acquiring) == sleeping.rawValue {
            Futex.wait(word, while: sleeping.rawValue, until: .never)
        }
    }
}

// `job` and `fault` are the owner's while the word says idle and the thread's while it says busy; each exchange of the
// word hands them over.
extension Mailbox: @unchecked Sendable {}
