import DmaLinux
import Guest
import GuestMemory
import PinLock
import Telemetry

/// What all handlers of a guest's page state changes have in common.
package struct PSCHost: Sendable {
    package let strategy: any PinStrategy
    let policy: ConflictPolicy.Kind
    /// How long a conversion waits for pins, in nanoseconds.
    let timeout: UInt64
    /// What happens to pages besides the lock.
    package let effects: PageStateEffects
    package let takenBack: TakenBackPages
    let clock: TickClock
    let wakeDevices: @Sendable () -> Void
}

/// The hypervisor's answer to page state changes: the exit to userspace, on the vCPU's own thread.
///
/// Each thread that asks has a handler of its own, with its own log; what handlers share is safe to share. Whatever the
/// guest asks is checked here and below; the strategy decides what a pin is worth.
package final class PSCHandler: Hypercalls {
    let host: PSCHost
    private var strategy: any PinStrategy { host.strategy }
    private var clock: TickClock { host.clock }
    private let eventLimit: Int
    private var log: ConversionLog
    private lazy var hooks = makeHooks()

    /// The conversion under way: when it was due and when it began, and what it took that it does not pay for, in ticks.
    private var due: UInt64 = 0
    private var start: UInt64 = 0
    private var checking: UInt64 = 0
    private var pending: PendingConversion?

    /// So many conversions of a log are kept one by one.
    package init(_ host: PSCHost, events eventLimit: Int = 0) {
        self.host = host
        self.eventLimit = eventLimit
        log = ConversionLog(events: eventLimit)
    }

    // MARK: Hypercalls

    package func begin(
        _ range: PageRange, toPrivate: Bool, due: UInt64, at moment: Moment
    ) -> PageStateChange? {
        if let page = host.takenBack.find(in: range) { return .takenBack(page) }
        expect(due)
        do throws(ConversionRefusal) {
            let step = try strategy.begin(
                range, to: toPrivate ? .private : .shared, policy: conflictPolicy(), hooks: hooks)
            switch step {
            case .done(let path): return finish(path, moment)
            case .pending(let conversion):
                pending = conversion
                return nil
            }
        } catch {
            return refuse(error)
        }
    }

    package func poll(at moment: Moment) -> PageStateChange? {
        precondition(pending != nil, "no page state change is under way")
        do throws(ConversionRefusal) {
            guard let path = try strategy.poll(&pending!, hooks: hooks) else { return nil }
            pending = nil
            return finish(path, moment)
        } catch {
            pending = nil
            return refuse(error)
        }
    }

    /// Sleeps until there may be an answer, or until then.
    package func sleep(until deadline: Deadline) {
        if let pending { strategy.sleep(on: pending, until: deadline) }
    }

    package func abandon() {
        guard let conversion = pending.take() else { return }
        strategy.abandon(conversion, hooks: hooks)
    }

    package func changePageState(_ range: PageRange, toPrivate: Bool, due: UInt64)
        -> PageStateChange
    {
        if let page = host.takenBack.find(in: range) { return .takenBack(page) }
        expect(due)
        do throws(ConversionRefusal) {
            let path = try strategy.convert(
                range, to: toPrivate ? .private : .shared, policy: conflictPolicy(), hooks: hooks)
            return finish(path, Moment(now: start))
        } catch {
            return refuse(error)
        }
    }

    private func expect(_ due: UInt64) {
        self.due = due
        checking = 0
        start = clock.now()
    }

    private func finish(_ path: ConversionPath, _ moment: Moment) -> PageStateChange {
        log.record(path, times(lastGapEnd: moment.lastGapEnd))
        return .done
    }

    private func refuse(_ refusal: ConversionRefusal) -> PageStateChange {
        switch refusal {
        case .pinned(let gfn), .deadlinePassed(let gfn), .converting(let gfn):
            log.refuse(times(lastGapEnd: 0), isBusy: false)
            return .pinned(gfn)
        case .busy(let gfn):
            log.refuse(times(lastGapEnd: 0), isBusy: true)
            return .pinned(gfn)
        case .alreadyInState(let gfn), .outOfRange(let gfn):
            return .refused(gfn)
        }
    }

    private func times(lastGapEnd: UInt64) -> ConversionLog.Times {
        let now = clock.now()
        let call = now &- start
        return ConversionLog.Times(
            // The guest's word: any moment, however late.
            due: clock.nanoseconds(from: min(due, now)), now: clock.nanoseconds(from: now),
            begin: clock.nanoseconds(from: start),
            call: clock.nanoseconds(from: call - min(call, checking)),
            checking: clock.nanoseconds(from: checking), isDisturbed: lastGapEnd > due)
    }

    private func conflictPolicy() -> ConflictPolicy {
        switch host.policy {
        case .deny: .deny
        case .wait: .wait(until: .after(nanoseconds: host.timeout))
        case .revoke: .revoke(until: .after(nanoseconds: host.timeout))
        }
    }

    private func makeHooks() -> ConversionHooks {
        ConversionHooks(
            willCommit: { [unowned self] range, state in
                checking += host.effects.willCommit(range, to: state) { clock.now() }
            },
            wakeDevices: host.wakeDevices,
            didWait: { [unowned self] nanoseconds in log.noteWait(nanoseconds) })
    }

    // MARK: Beside hypercalls

    /// What the page tables of a confidential guest do for each access: whether an instruction that takes the page for
    /// private, or for shared, does not go on since it is the other (KVM_EXIT_MEMORY_FAULT).
    package func stopsAccess(to gfn: GFN, asPrivate: Bool) -> Bool {
        (strategy.arena.table.state(of: gfn) == .private) != asPrivate
    }

    /// Makes a page shared again that a device has faulted on; the guest hears of it when it next asks for the page.
    func takeBack(_ range: PageRange) -> Bool {
        do throws(ConversionRefusal) {
            _ = try strategy.convert(range, to: .shared, policy: .deny, hooks: hooks)
            host.takenBack.insert(range)
            return true
        } catch {
            // The guest has shared it in the meantime, or is about to.
            if case .alreadyInState = error { return true }
            return false
        }
    }

    /// What has been recorded since the last call, and starts anew.
    package func takeLog() -> ConversionLog {
        defer { log = ConversionLog(events: eventLimit) }
        return log
    }
}

// One thread at a time uses it; whoever started that takes the log once it has been joined.
extension PSCHandler: @unchecked Sendable {}
