import CLinux
import DmaLinux
import Synchronization

/// The arena's words through which devices and converters wait for one another.
///
/// Each lies on a cache line of its own. Pins and unpins only read `freeze` and `onlookers`, which hardly ever change.
public struct Coordination {
    private let base: UnsafeMutableRawPointer

    init(at base: UnsafeMutableRawPointer) { self.base = base }

    @inline(__always)
    private func word(_ line: Int) -> UnsafeMutablePointer<FutexWord> {
        (base + line * 64).assumingMemoryBound(to: FutexWord.self)
    }

    /// Moves with the beginning and the end of each freeze. Odd while a recovery counts anew: nobody pins or unpins.
    @inline(__always) var freeze: UnsafeMutablePointer<FutexWord> { word(0) }
    /// Moves with whatever ends a claim on pages, while there are onlookers.
    private var releases: UnsafeMutablePointer<FutexWord> { word(1) }
    /// Conversions that are pending: they want to hear of what ends a claim on pages.
    @inline(__always) var onlookers: UnsafeMutablePointer<FutexWord> { word(2) }
    /// Moves whenever a converter asks for long-lived pins.
    @inline(__always) private var revocations: UnsafeMutablePointer<FutexWord> { word(3) }
    /// One recovery at a time: each works counts out from what all journals say.
    var recoveryLock: ConverterLock { ConverterLock(at: base + 4 * 64) }
    /// Onlookers that sleep instead of polling: only they have to be woken.
    private var sleepers: UnsafeMutablePointer<FutexWord> { word(5) }

    // MARK: Unpins and pending conversions

    /// To be called after whatever ends a claim on pages, since a conversion may be pending on it: an unpin, a pin that
    /// was refused after it could be seen, a recovery, also one that is given up half way.
    ///
    /// No release is missed: the conversion becomes an onlooker and then reads the counts, the unpin takes its counts
    /// away and then looks for onlookers. All four are sequentially consistent, so one of the two sees the other. On
    /// x86 that is free: the subtraction is a locked operation anyway, and the look a plain load of a line that hardly
    /// ever changes. (Where an unpin is a plain store, `meetUnpins` makes up for it with a barrier.)
    @inline(__always)
    func announceUnpin() {
        if hasOnlookers { tellOnlookers() }
    }

    @inline(__always)
    var hasOnlookers: Bool { onlookers.pointee.load(ordering: .sequentiallyConsistent) != 0 }

    /// The count first, then the look for sleepers: one of the two sees the other, as above.
    @inline(never)
    private func tellOnlookers() {
        releases.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
        guard sleepers.pointee.load(ordering: .sequentiallyConsistent) != 0 else { return }
        Futex.wakeAll(releases)
    }

    func addOnlooker() { onlookers.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent) }
    func removeOnlooker() {
        onlookers.pointee.wrappingSubtract(1, ordering: .sequentiallyConsistent)
    }

    /// How often something has ended a claim on pages beside an onlooker.
    var releaseCount: UInt32 { releases.pointee.load(ordering: .sequentiallyConsistent) }

    /// Sleeps while `releaseCount` is what it was, until the deadline at most; wakes early now and then.
    func sleep(while seen: UInt32, until deadline: Deadline) {
        sleepers.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
        Futex.wait(releases, while: seen, until: deadline)
        sleepers.pointee.wrappingSubtract(1, ordering: .sequentiallyConsistent)
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
        freeze.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
        do throws(SystemError) {
            try ProcessBarrier.register()
            try ProcessBarrier.issue()
        } catch {
            thaw()
            throw error
        }
    }

    func thaw() {
        freeze.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
        Futex.wakeAll(freeze)
    }

    @inline(__always)
    var isFrozen: Bool {
        clinux_compiler_barrier()
        return freeze.pointee.load(ordering: .acquiring) & 1 != 0
    }

    /// Waits for the end of the freeze that there is, if there is one.
    func waitForThaw() {
        let seen = freeze.pointee.load(ordering: .sequentiallyConsistent)
        guard seen & 1 != 0 else { return }
        while freeze.pointee.load(ordering: .acquiring) == seen {
            Futex.wait(freeze, while: seen, until: .never)
        }
    }
}

// Pointers to atomics in the arena, whose mapping the arena keeps.
extension Coordination: @unchecked Sendable {}
