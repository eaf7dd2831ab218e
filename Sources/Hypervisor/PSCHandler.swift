import Guest
import GuestMemory
import Linux
import PinLock
import Synchronization
import Telemetry

/// The hypervisor's answer to page state changes: the exit to userspace, on the vCPU's own thread.
///
/// Whatever the guest asks is checked here and below; the strategy decides what a pin is worth.
final class PSCHandler: Hypercalls {
    private let strategy: any PinStrategy
    private let policy: ConflictPolicy.Kind
    private let patience: UInt64
    private let oracle: PrivatePageOracle
    private let mmu: DeviceMMU
    /// What the host does with the memory of pages that become private.
    private let memory: PrivateMemory
    /// Whether keeping devices from private pages by their page tables is part of what a conversion costs.
    private let paysForMMU: Bool
    private let wakeDevices: @Sendable () -> Void
    private let log = Mutex(ConversionLog())

    init(
        strategy: any PinStrategy, policy: ConflictPolicy.Kind, patience: UInt64,
        oracle: PrivatePageOracle, mmu: DeviceMMU, memory: PrivateMemory,
        wakeDevices: @escaping @Sendable () -> Void
    ) {
        self.strategy = strategy
        self.policy = policy
        self.patience = patience
        self.oracle = oracle
        self.mmu = mmu
        self.memory = memory
        paysForMMU = type(of: strategy).info.exclusion == .faults
        self.wakeDevices = wakeDevices
    }

    func changePageState(_ range: PageRange, toPrivate: Bool, due: UInt64) -> PageStateChange {
        if let surprise = takenBack(in: range) { return .takenBack(surprise) }
        var checking: UInt64 = 0
        do throws(ConversionRefusal) {
            let path = try convert(range, to: toPrivate ? .private : .shared, &checking)
            let now = monotonicNanoseconds()
            // The guest's word: any moment, however late.
            let asked = due.addingReportingOverflow(checking)
            let latency = asked.overflow ? 0 : now - min(now, asked.partialValue)
            log.withLock { $0.record(path, latency: latency, now: now) }
            return .done
        } catch {
            switch error {
            case .pinned(let gfn), .deadlinePassed(let gfn), .converting(let gfn), .busy(let gfn):
                let now = monotonicNanoseconds()
                log.withLock { $0.refuse(due: due, now: now) }
                return .pinned(gfn)
            case .alreadyInState(let gfn), .outOfRange(let gfn):
                return .refused(gfn)
            }
        }
    }

    /// `checking` grows by the time that the oracle and the harness's own enforcement take, which no conversion pays.
    private func convert(
        _ range: PageRange, to state: PageState, _ checking: inout UInt64
    ) throws(ConversionRefusal) -> ConversionPath {
        var checkingTime: UInt64 = 0
        defer { checking += checkingTime }
        let hooks = ConversionHooks(
            willCommit: { [oracle, mmu, memory, paysForMMU] range, state in
                // No store lands behind the canary; none is kept away before the check.
                let start = monotonicNanoseconds()
                if state == .private { mmu.set(true, range) }
                let protected = monotonicNanoseconds()
                if state == .private { memory.willBecomePrivate(range) }
                let ready = monotonicNanoseconds()
                oracle.willCommit(range, to: state, frees: memory.frees)
                let checked = monotonicNanoseconds()
                if state == .shared { mmu.set(false, range) }
                let end = monotonicNanoseconds()
                checkingTime += checked - ready
                if !paysForMMU { checkingTime += (protected - start) + (end - checked) }
            },
            wakeDevices: wakeDevices,
            didWait: { [self] nanoseconds in log.withLock { $0.noteWait(nanoseconds) } })
        return try strategy.convert(range, to: state, policy: conflictPolicy(), hooks: hooks)
    }

    /// What the page tables of a confidential guest do for each access: whether an instruction that takes the page for
    /// private, or for shared, does not go on since it is the other (KVM_EXIT_MEMORY_FAULT).
    func stopsAccess(to gfn: GFN, asPrivate: Bool) -> Bool {
        (strategy.arena.table.state(of: gfn) == .private) != asPrivate
    }

    // MARK: Pages taken back

    /// Makes a page shared again that a device has faulted on; the guest hears of it when it next asks for the page.
    func takeBack(_ range: PageRange) -> Bool {
        var checking: UInt64 = 0
        do throws(ConversionRefusal) {
            _ = try convert(range, to: .shared, &checking)
            log.withLock { log in
                for page in range.lower..<range.upper { log.takenBack.insert(GFN(page)) }
            }
            return true
        } catch {
            // The guest has shared it in the meantime, or is about to.
            if case .alreadyInState = error { return true }
            return false
        }
    }

    /// The first page of the range that the guest does not know to be shared; all of them are forgotten.
    private func takenBack(in range: PageRange) -> GFN? {
        log.withLock { log in
            guard !log.takenBack.isEmpty else { return nil }
            let known = log.takenBack.filter {
                range.contains(PageRange(start: $0.rawValue, count: 1))
            }
            log.takenBack.subtract(known)
            log.surprises += UInt64(known.count)
            return known.min()
        }
    }

    /// What has been recorded since the last call, and starts anew.
    func takeLog() -> ConversionLog {
        log.withLock { log in
            let taken = log
            log = ConversionLog()
            return taken
        }
    }

    private func conflictPolicy() -> ConflictPolicy {
        switch policy {
        case .deny: .deny
        case .wait: .wait(until: .after(nanoseconds: patience))
        case .revoke: .revoke(until: .after(nanoseconds: patience))
        }
    }
}

/// What became of a turn's conversions.
public final class ConversionLog {
    /// Of those carried out, from when they were due.
    public private(set) var latency = LatencyHistogram()
    public private(set) var denied: UInt64 = 0
    public private(set) var waited: UInt64 = 0
    public private(set) var revoked: UInt64 = 0
    /// The longest time for which one waited for pins, carried out or not; nil where none did. In nanoseconds.
    public private(set) var longestWait: UInt64?
    /// The longest time in which all were refused, from when the first of them was due to the last, or to the next one
    /// carried out; nil where none was. In nanoseconds.
    public private(set) var longestDenial: UInt64?
    /// When the first was due of those that have been refused since one was carried out.
    private var deniedSince: UInt64?
    /// Pages that the guest found taken back when it used them.
    public fileprivate(set) var surprises: UInt64 = 0
    /// Those that it has yet to find.
    fileprivate var takenBack: Set<GFN> = []

    public var done: UInt64 { latency.count }

    fileprivate func refuse(due: UInt64, now: UInt64) {
        denied += 1
        let since = deniedSince ?? due
        deniedSince = since
        noteDenial(from: since, to: now)
    }

    private func noteDenial(from start: UInt64, to end: UInt64) {
        longestDenial = max(longestDenial ?? 0, end - min(start, end))
    }

    fileprivate func noteWait(_ nanoseconds: UInt64) {
        longestWait = max(longestWait ?? 0, nanoseconds)
    }

    fileprivate func record(_ path: ConversionPath, latency nanoseconds: UInt64, now: UInt64) {
        latency.record(nanoseconds)
        if let since = deniedSince { noteDenial(from: since, to: now) }
        deniedSince = nil
        switch path {
        case .immediate: break
        case .waited: waited += 1
        case .revoked: revoked += 1
        }
    }
}

// Handed from the thread that fills it to the one that reads it, under the handler's lock.
extension ConversionLog: @unchecked Sendable {}
