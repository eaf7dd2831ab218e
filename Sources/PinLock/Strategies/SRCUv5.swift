import DmaLinux
import GuestMemory

/// Waits for the readers there are, and lets new ones in while it converts. **Unsafe.**
///
/// The idea: a device enters before it looks at the state of its pages and leaves after the write; the converter waits
/// until everybody has left who was inside when it came, and converts then. Devices are exactly those of
/// `rangetree`.
///
/// What is wrong: the order on the converter's side. Until the conversion has committed the pages are open, so a
/// device that enters during the wait finds them shared, pins them, and writes them while and after they become
/// private. Since nobody waits for it, a busy device is caught by almost every conversion. The pages have to be
/// closed first; then it is right to wait for the earlier readers only (see `Epoch`).
///
/// Cost: the converter waits whatever the policy is: synchronize_srcu() has no way to refuse. Under `deny` it gives up
/// after a second, at its deadline.
///
/// Its precedent: `psc_srcu` of the SEV-SNP hypervisor series (KVM, v5), which waits for readers before the page state
/// change and does nothing against those that start after it. It failed review.
public struct SRCUv5: StandsOnTree {
    public static let info = StrategyInfo(
        name: "srcu-v5",
        summary: "broken on purpose: waits for the pins there are, lets new ones in, and converts",
        isSafe: false,
        cost: "the converter: waits under every policy; private pages are written",
        policies: [.deny, .wait],
        kernelNeeds: nil,
        precedent: "psc_srcu of the SEV-SNP hypervisor patches v5, which failed review",
        family: .unsafe, place: 2)

    let tree: RangeTree

    public init(arena: Arena) { tree = RangeTree(arena: arena) }

    public func pinner(for device: DeviceID) -> RangeTree.Device { tree.pinner(for: device) }

    // As every strategy's, but for the order: the range is closed when it has become private.

    /// What stands for synchronize_srcu() begins: the readers there are have to leave, not those that come.
    public func begin(
        _ range: PageRange, to state: PageState, policy: ConflictPolicy, hooks: ConversionHooks
    ) throws(ConversionRefusal) -> ConversionStep {
        guard state == .private, range.upper <= arena.pages.rawValue else {
            return try tree.begin(range, to: state, policy: policy, hooks: hooks)
        }
        try arena.table.claim(range, leaving: .shared)
        var deadline = Deadline.after(milliseconds: 1000)
        if case .wait(let until) = policy { deadline = until }
        let readers = arena.heldPins(in: range)
        var pending = PendingConversion(
            range, readers.isEmpty ? .immediate : .waited, until: deadline)
        pending.readers = readers
        // A grace period is another thread's work and takes its time, whether or not there are readers.
        pending.dueAgain = .after(nanoseconds: Self.gracePeriodNanoseconds)
        arena.coordination.addOnlooker()
        return .pending(pending)
    }

    public func poll(
        _ pending: inout PendingConversion, hooks: ConversionHooks
    ) throws(ConversionRefusal) -> ConversionPath? {
        guard pending.dueAgain.hasPassed else { return nil }
        let isLast = pending.deadline.hasPassed
        let count = arena.coordination.releaseCount
        if pending.seen == count, !isLast { return nil }
        guard let reader = pending.readers.first(where: \.isHeld) else {
            endLookingOn(pending, hooks)
            commit(pending.range, hooks)
            return pending.path
        }
        pending.seen = count
        guard isLast else { return nil }
        abandon(pending, hooks: hooks)
        throw .deadlinePassed(reader.part.start)
    }

    public func abandon(_ pending: PendingConversion, hooks: ConversionHooks) {
        endLookingOn(pending, hooks)
        arena.table.releaseClaim(pending.range)
    }

    private func commit(_ range: PageRange, _ hooks: ConversionHooks) {
        hooks.willCommit(range, .private)
        arena.table.split(range)
        arena.table.commit(range)
        close(range)
        arena.table.releaseClaim(range)
    }

    public func close(_ range: PageRange) { tree.close(range) }

    /// Far below what the kernel takes (kernel/rcu/srcutree.c, __synchronize_srcu()).
    private static let gracePeriodNanoseconds: UInt64 = 20_000
}
