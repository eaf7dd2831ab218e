import CLinux
import Glibc

/// A mutex in memory that several processes map, whose owner may die (pthread_mutexattr_setrobust(3)).
///
/// The kernel keeps a list of what a thread holds and marks it when the thread ends, however it ends. Whoever takes
/// the mutex next is told so, with the mutex in hand: it repairs what the dead owner may have left half-written. Should
/// it die over that, the next one is told again.
///
/// Where nobody dies it costs about what an ordinary mutex does: a compare-exchange to take it, one to give it back.
public struct RobustMutex {
    /// A cache line.
    public static let byteCount = Int(CLINUX_MUTEX_BYTES)

    private let mutex: UnsafeMutableRawPointer
    private let repair: @Sendable () -> Void

    /// The mutex at `base`, aligned to 8 bytes, which zeroed memory becomes by this. Every process that uses it makes
    /// a view of its own, whenever it likes, also while others hold the mutex: nobody need be the first.
    ///
    /// `repair` runs with the mutex in hand where the last owner has died.
    public init(at base: UnsafeMutableRawPointer, repair: @escaping @Sendable () -> Void) {
        mutex = base
        self.repair = repair
        let result = clinux_mutex_init(base)
        precondition(result == 0, "no mutex: \(SystemError.message(-result))")
    }

    /// Runs `body` with the mutex held.
    ///
    /// Acquires what the last owner released. Waits for as long as that takes: a stopped owner stops everybody.
    @inlinable
    public func withLock<Result>(_ body: () -> Result) -> Result {
        lock()
        defer { unlock() }
        return body()
    }

    @usableFromInline
    func lock() { took(clinux_mutex_lock(mutex)) }

    /// The same; nil, and nothing done, where somebody else holds the mutex until the deadline.
    public func withLock<Result>(
        until deadline: Deadline, _ body: () -> Result
    ) -> Result? {
        let result = clinux_mutex_lock_until(mutex, deadline.nanoseconds)
        guard result != -ETIMEDOUT else { return nil }
        took(result)
        defer { unlock() }
        return body()
    }

    @inline(__always)
    private func took(_ result: Int32) {
        guard result != 0 else { return }
        precondition(result == 1, "the mutex cannot be taken: \(SystemError.message(-result))")
        repair()
        // Only now: an owner that dies over the repair has left it inconsistent for the next one.
        let made = clinux_mutex_consistent(mutex)
        precondition(made == 0, "pthread_mutex_consistent: \(SystemError.message(-made))")
    }

    @usableFromInline
    func unlock() {
        let result = clinux_mutex_unlock(mutex)
        precondition(result == 0, "pthread_mutex_unlock: \(SystemError.message(-result))")
    }
}

// A pointer to a mutex in shared memory, which is there to be used by many threads.
extension RobustMutex: @unchecked Sendable {}
