import DmaLinux
import GuestMemory

/// A page state change, written once for every strategy: begun, looked at now and then, and ended.
///
/// 1. *Claim* the pages in the RMP table: at most one conversion of a page is under way.
/// 2. To private: *close* the strategy's structure to new pins, then *search* for old ones. A pin and a close meet in
///    one atomic word, so one of them sees the other. Pinned: refuse, or stay pending, by policy.
/// 3. *Commit* in the table. To shared: open the structure to pins.
/// 4. Give the claim up, last: whoever claims the pages next finds table and structure agreed.
///
/// A conversion becomes pending in this order: become an onlooker, make sure that unpins see that, read the counter of
/// releases, search once more. From then on the counter speaks for that search: while it stands still, nothing has gone
/// that was found. Any other order loses an unpin. A search that was not completed speaks for nothing, so the next look
/// searches again.
extension PinStrategy {
    public func begin(
        _ range: PageRange, to state: PageState, policy: ConflictPolicy, hooks: ConversionHooks
    ) throws(ConversionRefusal) -> ConversionStep {
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
            return .done(.immediate)
        }
        do throws(SystemError) {
            try close(range)
        } catch {
            giveUp(range)
            throw .busy(range.start)
        }
        let found: PinSearch = search(range, within: SearchBound.nanoseconds)
        if found == .none {
            commitToPrivate(range, hooks)
            return .done(.immediate)
        }
        switch policy {
        case .deny:
            giveUp(range)
            throw found.page.map { .pinned($0) } ?? .busy(range.start)
        case .wait(let deadline):
            return try lookOn(.waited, range, found, until: deadline, hooks)
        case .revoke(let deadline):
            arena.coordination.askForRevocation()
            hooks.wakeDevices()
            return try lookOn(.revoked, range, found, until: deadline, hooks)
        }
    }

    /// The range is closed and something in it is pinned, or may be: pending from here on, unless that has gone by now.
    private func lookOn(
        _ path: ConversionPath, _ range: PageRange, _ found: PinSearch, until deadline: Deadline,
        _ hooks: ConversionHooks
    ) throws(ConversionRefusal) -> ConversionStep {
        var pending = PendingConversion(range, path, until: deadline)
        pending.found = found.page ?? range.start
        arena.coordination.addOnlooker()
        do throws(SystemError) {
            try meetUnpins()
        } catch {
            // Nothing speaks for a search then: each look is one.
            pending.trustsCounter = false
        }
        return try look(&pending, hooks).map { .done($0) } ?? .pending(pending)
    }

    public func poll(
        _ pending: inout PendingConversion, hooks: ConversionHooks
    ) throws(ConversionRefusal) -> ConversionPath? {
        if pending.seen == arena.coordination.releaseCount, !pending.deadline.hasPassed {
            return nil
        }
        return try look(&pending, hooks)
    }

    /// Searches, once: the end of the conversion where nothing is pinned any more or its deadline has passed.
    private func look(
        _ pending: inout PendingConversion, _ hooks: ConversionHooks
    ) throws(ConversionRefusal) -> ConversionPath? {
        let isLast = pending.deadline.hasPassed
        let count = arena.coordination.releaseCount
        switch search(pending.range, within: SearchBound.nanoseconds) {
        case .none:
            endLookingOn(pending, hooks)
            commitToPrivate(pending.range, hooks)
            return pending.path
        case .pinned(let page):
            pending.found = page
            pending.seen = pending.trustsCounter ? count : nil
        case .incomplete:
            pending.seen = nil
        }
        guard isLast else { return nil }
        abandon(pending, hooks: hooks)
        throw .deadlinePassed(pending.found)
    }

    public func abandon(_ pending: PendingConversion, hooks: ConversionHooks) {
        endLookingOn(pending, hooks)
        giveUp(pending.range)
    }

    /// Converts every page of the range, or none, and sleeps as long as the policy says: `begin`, then a `poll` each time
    /// that something has been let go.
    public func convert(
        _ range: PageRange, to state: PageState, policy: ConflictPolicy, hooks: ConversionHooks
    ) throws(ConversionRefusal) -> ConversionPath {
        switch try begin(range, to: state, policy: policy, hooks: hooks) {
        case .done(let path): return path
        case .pending(var pending):
            while true {
                sleep(on: pending, until: .never)
                if let path = try poll(&pending, hooks: hooks) { return path }
            }
        }
    }

    /// Sleeps until there may be something to see of a pending conversion, or until then; wakes early now and then.
    public func sleep(on pending: PendingConversion, until limit: Deadline) {
        let deadline = min(pending.deadline, limit)
        if !pending.dueAgain.hasPassed {
            DmaLinux.sleep(until: min(pending.dueAgain, deadline))
        } else if let seen = pending.seen {
            arena.coordination.sleep(while: seen, until: deadline)
        } else {
            // Nobody tells when: look again soon.
            DmaLinux.sleep(until: min(.after(nanoseconds: SearchBound.nanoseconds), deadline))
        }
    }

    // MARK: Parts

    /// No pin of the claimed and closed range is left.
    private func commitToPrivate(_ range: PageRange, _ hooks: ConversionHooks) {
        hooks.willCommit(range, .private)
        arena.table.split(range)
        arena.table.commit(range)
        arena.table.releaseClaim(range)
    }

    private func giveUp(_ range: PageRange) {
        open(range)
        arena.table.releaseClaim(range)
    }

    func endLookingOn(_ pending: PendingConversion, _ hooks: ConversionHooks) {
        arena.coordination.removeOnlooker()
        hooks.didWait(monotonicNanoseconds() - pending.start)
    }
}

/// What beginning a conversion came to.
public enum ConversionStep: Sendable {
    case done(ConversionPath)
    /// It holds its pages claimed and closed until `poll` ends it, or `abandon`.
    case pending(PendingConversion)
}

/// A conversion that has begun and waits for pins to go: all its state, for whoever looks at it again.
public struct PendingConversion: Sendable {
    public let range: PageRange
    /// It is refused from then on.
    public let deadline: Deadline
    /// How it will have come to be carried out.
    let path: ConversionPath
    /// When it became pending, in nanoseconds of CLOCK_MONOTONIC.
    let start = monotonicNanoseconds()
    /// The counter of releases before the last search; nil where that speaks for nothing.
    var seen: UInt32?
    /// False where unpins may not see that there is an onlooker.
    var trustsCounter = true
    /// What the last completed search found.
    var found: GFN
    /// There is nothing to see before that time.
    var dueAgain = Deadline(nanoseconds: 0)
    /// The pins that it waits for, under the strategy that waits for those alone.
    var readers: [JournalledPin] = []

    init(_ range: PageRange, _ path: ConversionPath, until deadline: Deadline) {
        self.range = range
        self.path = path
        self.deadline = deadline
        found = range.start
    }
}

/// What a search for pins found.
public enum PinSearch: Equatable, Sendable {
    case none
    /// The lowest page that is pinned.
    case pinned(GFN)
    /// It was not completed: nobody knows.
    case incomplete

    init(_ page: GFN?) { self = page.map { .pinned($0) } ?? .none }

    var page: GFN? {
        if case .pinned(let page) = self { page } else { nil }
    }
}

/// How long a step of a conversion may wait for a mutex: far above what a device holds it for, and far below what a
/// guest would notice.
enum SearchBound {
    static let nanoseconds: UInt64 = 100_000
}
