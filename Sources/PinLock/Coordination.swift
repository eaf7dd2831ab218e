import CLinux
import Linux
import Synchronization

/// The arena's words through which devices and converters wait for one another.
///
/// Each lies on a cache line of its own. Pins and unpins only read `freeze` and `waiters`, which hardly ever change.
public struct Coordination {
    /// Non-zero while a recovery rebuilds counts: nobody pins or unpins.
    let freeze: UnsafeMutablePointer<FutexWord>
    /// Moves with every unpin while a converter waits.
    private let unpins: UnsafeMutablePointer<FutexWord>
    /// Converters that wait for unpins.
    let waiters: UnsafeMutablePointer<FutexWord>
    /// Moves whenever a converter asks for long-lived pins.
    private let revocations: UnsafeMutablePointer<FutexWord>
    /// One recovery at a time: each works counts out from what all journals say.
    let recoveryLock: ConverterLock

    static let byteCount = 5 * 64

    init(at base: UnsafeMutableRawPointer) {
        func word(_ line: Int) -> UnsafeMutablePointer<FutexWord> {
            (base + line * 64).assumingMemoryBound(to: FutexWord.self)
        }
        freeze = word(0)
        unpins = word(1)
        waiters = word(2)
        revocations = word(3)
        recoveryLock = ConverterLock(at: base + 4 * 64)
    }

    // MARK: Unpins and waiting converters

    /// To be called after an unpin: a converter may wait for it.
    ///
    /// No wake-up is lost: the converter counts itself in and then reads the counts, the unpin takes its counts away
    /// and then looks for waiters. All four are sequentially consistent, so one of the two sees the other. On x86
    /// that is free: the subtraction is a locked operation anyway, and the look a plain load of a line that hardly
    /// ever changes. (Where an unpin is a plain store, the strategy's converter makes up for it with a barrier.)
    @inline(__always)
    func announceUnpin() {
        if hasWaiters { wakeConverters() }
    }

    @inline(__always)
    var hasWaiters: Bool { waiters.pointee.load(ordering: .sequentiallyConsistent) != 0 }

    @inline(never)
    private func wakeConverters() {
        unpins.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
        Futex.wakeAll(unpins)
    }

    /// Waits until `pinned`, which reads counts with sequential consistency, finds nothing; what it found last where
    /// the deadline came first. At the end `didWait` is told how long it was.
    ///
    /// Bounded: new pins are kept out meanwhile, and of the looks only the last begins after the deadline.
    func waitForUnpins<Found>(
        until deadline: Deadline, didWait: (_ nanoseconds: UInt64) -> Void, _ pinned: () -> Found?
    ) -> Found? {
        let start = monotonicNanoseconds()
        defer { didWait(monotonicNanoseconds() - start) }
        waiters.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
        defer { waiters.pointee.wrappingSubtract(1, ordering: .sequentiallyConsistent) }
        while true {
            let seen = unpins.pointee.load(ordering: .sequentiallyConsistent)
            guard let found = pinned() else { return nil }
            if deadline.hasPassed { return found }
            Futex.wait(unpins, while: seen, until: deadline)
        }
    }

    // MARK: Revocation

    func askForRevocation() {
        revocations.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
    }

    /// How often long-lived pins have been asked for.
    @inline(__always)
    var revocationCount: UInt32 { revocations.pointee.load(ordering: .acquiring) }

    // MARK: Freeze

    /// Keeps devices from starting a pin or an unpin: once this returns, every device either shows in its journal
    /// that it is inside one, or will wait for `thaw`.
    ///
    /// The hot path pays no fence for it: a device writes its intent and then reads `freeze`, in program order; the
    /// barrier on all processors between our write and our look at the journals does the rest.
    func beginFreeze() throws(SystemError) {
        freeze.pointee.store(1, ordering: .sequentiallyConsistent)
        do throws(SystemError) {
            try ProcessBarrier.register()
            try ProcessBarrier.issue()
        } catch {
            thaw()
            throw error
        }
    }

    func thaw() {
        freeze.pointee.store(0, ordering: .sequentiallyConsistent)
        Futex.wakeAll(freeze)
    }

    @inline(__always)
    var isFrozen: Bool {
        clinux_compiler_barrier()
        return freeze.pointee.load(ordering: .acquiring) != 0
    }

    /// Waits for the end of a freeze.
    @inline(never)
    func waitForThaw() {
        while freeze.pointee.load(ordering: .acquiring) != 0 {
            Futex.wait(freeze, while: 1, until: .never)
        }
    }
}

// Pointers to atomics in the arena, whose mapping the arena keeps.
extension Coordination: @unchecked Sendable {}
