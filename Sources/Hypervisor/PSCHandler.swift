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
    private let wakeDevices: @Sendable () -> Void
    private let log = Mutex(ConversionLog())

    init(
        strategy: any PinStrategy, policy: ConflictPolicy.Kind, patience: UInt64,
        oracle: PrivatePageOracle,
        wakeDevices: @escaping @Sendable () -> Void
    ) {
        self.strategy = strategy
        self.policy = policy
        self.patience = patience
        self.oracle = oracle
        self.wakeDevices = wakeDevices
    }

    func changePageState(_ range: PageRange, toPrivate: Bool, due: UInt64) -> PageStateChange {
        var oracleTime: UInt64 = 0
        let hooks = ConversionHooks(
            willCommit: { [oracle] range, state in
                // The oracle's own time is measured and left out of the conversion's.
                let start = monotonicNanoseconds()
                oracle.willCommit(range, to: state)
                oracleTime += monotonicNanoseconds() - start
            },
            wakeDevices: wakeDevices)
        do throws(ConversionRefusal) {
            let path = try strategy.convert(
                range, to: toPrivate ? .private : .shared, policy: conflictPolicy(), hooks: hooks)
            let now = monotonicNanoseconds()
            let latency = now - min(now, due + oracleTime)
            log.withLock { $0.record(path, latency: latency) }
            return .done
        } catch {
            switch error {
            case .pinned(let gfn), .deadlinePassed(let gfn), .converting(let gfn):
                log.withLock { $0.denied += 1 }
                return .pinned(gfn)
            case .alreadyInState(let gfn), .outOfRange(let gfn):
                return .refused(gfn)
            }
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
    public fileprivate(set) var denied: UInt64 = 0
    public private(set) var waited: UInt64 = 0
    public private(set) var revoked: UInt64 = 0

    public var done: UInt64 { latency.count }

    fileprivate func record(_ path: ConversionPath, latency nanoseconds: UInt64) {
        latency.record(nanoseconds)
        switch path {
        case .immediate: break
        case .waited: waited += 1
        case .revoked: revoked += 1
        }
    }
}

// Handed from the thread that fills it to the one that reads it, under the handler's lock.
extension ConversionLog: @unchecked Sendable {}
