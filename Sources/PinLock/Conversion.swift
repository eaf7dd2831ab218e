import GuestMemory
import Linux

/// A page state change, written once for every strategy.
///
/// 1. *Claim* the pages in the RMP table: at most one conversion of a page is under way.
/// 2. To private: *close* the strategy's structure to new pins, then look for old ones. A pin and a close meet in
///    one atomic word, so one of them sees the other. Pinned: refuse or wait, by policy.
/// 3. *Commit* in the table. To shared: open the structure to pins.
/// 4. Give the claim up, last: whoever claims the pages next finds table and structure agreed.
extension PinStrategy {
    /// Converts every page of the range, or none.
    ///
    /// Refuses what the guest got wrong (a page in that state already, a range outside its memory), what another
    /// conversion holds, and what the policy says of a pinned page. The calling thread waits where the policy does.
    public func convert(
        _ range: PageRange, to state: PageState, policy: ConflictPolicy, hooks: ConversionHooks
    ) throws(ConversionRefusal) -> ConversionPath {
        let table = arena.table
        guard range.upper <= arena.pages.rawValue else {
            throw .outOfRange(GFN(max(range.lower, arena.pages.rawValue)))
        }
        try table.claim(range, leaving: state == .private ? .shared : .private)
        guard state == .private else {
            hooks.willCommit(range, .shared)
            table.split(range)
            table.commit(range)
            open(range)
            table.releaseClaim(range)
            return .immediate
        }
        close(range)
        var path = ConversionPath.immediate
        if let pinned = firstPinned(in: range) {
            do throws(ConversionRefusal) {
                path = try resolve(pinned, in: range, policy: policy, hooks: hooks)
            } catch {
                open(range)
                table.releaseClaim(range)
                throw error
            }
        }
        hooks.willCommit(range, .private)
        table.split(range)
        table.commit(range)
        table.releaseClaim(range)
        return path
    }

    /// Waits, with the range closed, until no pin is left in it.
    private func resolve(
        _ pinned: GFN, in range: PageRange, policy: ConflictPolicy, hooks: ConversionHooks
    ) throws(ConversionRefusal) -> ConversionPath {
        let deadline: Deadline
        let path: ConversionPath
        switch policy {
        case .deny: throw .pinned(pinned)
        case .wait(let until): (deadline, path) = (until, .waited)
        case .revoke(let until):
            (deadline, path) = (until, .revoked)
            arena.coordination.askForRevocation()
            hooks.wakeDevices()
        }
        let left = arena.coordination.waitForUnpins(until: deadline, didWait: hooks.didWait) {
            firstPinned(in: range)
        }
        if let left { throw .deadlinePassed(left) }
        return path
    }
}
