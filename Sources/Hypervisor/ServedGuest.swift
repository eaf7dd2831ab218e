import DmaLinux
import GuestMemory
import Oracle
import PinLock
import Telemetry

/// A guest of somebody else's as its host sees it: the state of its pages, and no byte of what is in them.
///
/// Arena and ledger are made once for as much memory as a guest may have; they are sparse.
package final class ServedGuest {
    package private(set) var arena: Arena
    package let pageLimit: PageCount
    let ledger: SharedMapping
    package let clock: TickClock

    package init(pageLimit: PageCount, clock: TickClock) throws(SystemError) {
        self.pageLimit = pageLimit
        self.clock = clock
        arena = try Arena.create(pages: pageLimit, entrySize: .small)
        ledger = try SharedMapping.create(
            name: "dma-bench-ledger", byteCount: ConversionLedger.byteCount(pages: pageLimit))
    }

    /// Makes every page private and unpinned, with nothing converted yet; no device has a pin. `timeout` is how long a
    /// conversion waits for pins, in nanoseconds.
    package func reset(
        _ strategy: any PinStrategy.Type, policy: ConflictPolicy.Kind, timeout: UInt64
    ) throws(SystemError) -> PSCHost {
        arena = try arena.reset(pages: pageLimit, entrySize: .small)
        try ledger.zero()
        return PSCHost(
            strategy: strategy.init(arena: arena), policy: policy, timeout: timeout,
            effects: PageStateEffects([
                ConversionNumbers(ConversionLedger(ledger, pages: pageLimit))
            ]),
            takenBack: TakenBackPages(), clock: clock, wakeDevices: {})
    }
}

/// Numbers each conversion to private, by which devices know that a page was converted under their pins. What is in the
/// pages stays as it is: the guest does not know that they are converted.
private final class ConversionNumbers: PageStateEffect {
    let isPaidFor = false
    private let ledger: ConversionLedger

    init(_ ledger: ConversionLedger) { self.ledger = ledger }

    func willCommit(_ range: PageRange, to state: PageState) {
        if state == .private { ledger.willBecomePrivate(range) }
    }
}
