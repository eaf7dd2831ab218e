import GuestMemory
import Linux
import Synchronization

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
/// after a second.
///
/// Its twin: `psc_srcu` of the SEV-SNP hypervisor series (KVM, v5), which waits for readers before the page state
/// change and does nothing against those that start after it. It failed review.
public struct SRCUv5: StandsOnTree {
    public static let info = StrategyInfo(
        name: "srcu-v5",
        summary: "broken on purpose: waits for the pins there are, lets new ones in, and converts",
        isSafe: false,
        cost: "the converter: waits under every policy; private pages are written",
        policies: [.deny, .wait],
        kernelNeeds: nil,
        twin: "psc_srcu of the SEV-SNP hypervisor patches v5, which failed review")

    let tree: RangeTree

    public init(arena: Arena) { tree = RangeTree(arena: arena) }

    public func pinner(for device: DeviceID) -> RangeTree.Device { tree.pinner(for: device) }

    /// As every strategy's, but for the order: the range is closed when it has become private.
    public func convert(
        _ range: PageRange, to state: PageState, policy: ConflictPolicy, hooks: ConversionHooks
    ) throws(ConversionRefusal) -> ConversionPath {
        guard state == .private, range.upper <= arena.pages.rawValue else {
            return try tree.convert(range, to: state, policy: policy, hooks: hooks)
        }
        let table = arena.table
        try table.claim(range, leaving: .shared)
        let path: ConversionPath
        do throws(ConversionRefusal) {
            path = try synchronize(range, policy, hooks)
        } catch {
            table.releaseClaim(range)
            throw error
        }
        hooks.willCommit(range, .private)
        table.split(range)
        table.commit(range)
        close(range)
        table.releaseClaim(range)
        return path
    }

    /// What stands for synchronize_srcu(): waits for the readers there are, not for those that come.
    private func synchronize(
        _ range: PageRange, _ policy: ConflictPolicy, _ hooks: ConversionHooks
    ) throws(ConversionRefusal) -> ConversionPath {
        let readers = readers(in: range)
        // A grace period is another thread's work and takes its time, whether or not there are readers.
        sleep(until: .after(nanoseconds: Self.gracePeriodNanoseconds))
        guard readers.contains(where: \.isInside) else { return .immediate }
        var deadline = Deadline.after(milliseconds: 1000)
        if case .wait(let until) = policy { deadline = until }
        let left = arena.coordination.waitForUnpins(until: deadline, didWait: hooks.didWait) {
            readers.first(where: \.isInside)
        }
        guard let left else { return .waited }
        if case .wait = policy { throw .deadlinePassed(left.page) }
        throw .pinned(left.page)
    }

    /// Far below what the kernel takes (kernel/rcu/srcutree.c, __synchronize_srcu()).
    private static let gracePeriodNanoseconds: UInt64 = 20_000

    /// A pin of the range: what its journal entry says for as long as it is held, and its first page in the range.
    private struct Reader {
        let state: UnsafeMutablePointer<Atomic<UInt64>>
        let held: UInt64
        let page: GFN

        var isInside: Bool { state.pointee.load(ordering: .sequentiallyConsistent) == held }
    }

    private func readers(in range: PageRange) -> [Reader] {
        var readers: [Reader] = []
        for number in 0..<Arena.deviceCapacity {
            let journal = arena.journal(of: DeviceID(number))
            for pin in journal.liveEntries() where pin.state == .held {
                guard let met = pin.range.intersection(range) else { continue }
                let state = journal.entry(pin.index).state
                let held =
                    state.pointee.load(ordering: .acquiring) & ~3 | Journal.State.held.rawValue
                readers.append(Reader(state: state, held: held, page: met.start))
            }
        }
        return readers.sorted { $0.page < $1.page }
    }
}
