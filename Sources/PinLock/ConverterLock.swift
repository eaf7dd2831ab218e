import DmaLinux
import Synchronization

/// A lock in the arena that only converters and recoveries take; devices never wait for it.
///
/// A futex with three states: free, held, held with waiters (Drepper, "Futexes Are Tricky", mutex2). It needs no
/// robustness: whoever takes it belongs to the hypervisor, and the arena goes when the hypervisor goes.
struct ConverterLock {
    private let word: UnsafeMutablePointer<FutexWord>

    init(at base: UnsafeMutableRawPointer) {
        word = base.assumingMemoryBound(to: FutexWord.self)
    }

    func withLock<Result, Failure>(
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try withLock(until: .never, body)!
    }

    /// Nil where it cannot be had by the deadline.
    func withLock<Result, Failure>(
        until deadline: Deadline, _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        guard acquire(until: deadline) else { return nil }
        defer { release() }
        return try body()
    }

    /// Who gives up leaves the word as it is: the lock's next release then wakes nobody in vain.
    private func acquire(until deadline: Deadline) -> Bool {
        if word.pointee.compareExchange(expected: 0, desired: 1, ordering: .acquiring).exchanged {
            return true
        }
        while word.pointee.exchange(2, ordering: .acquiring) != 0 {
            if deadline.hasPassed { return false }
            Futex.wait(word, while: 2, until: deadline)
        }
        return true
    }

    private func release() {
        if word.pointee.exchange(0, ordering: .releasing) == 2 { Futex.wakeOne(word) }
    }
}
