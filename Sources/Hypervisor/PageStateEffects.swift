import DmaLinux
import GuestMemory
import PinLock
import Synchronization

/// What the host does to pages that change their state, besides the lock.
protocol PageStateEffect: AnyObject, Sendable {
    /// Whether it is part of what a conversion costs; else its time is subtracted from the conversion's.
    var isPaidFor: Bool { get }

    /// Runs inside a conversion, before it commits: the pages are the converter's alone.
    func willCommit(_ range: PageRange, to state: PageState) throws(SystemError)
}

/// All that the host does to pages that change their state.
package final class PageStateEffects: Sendable {
    /// In the order in which a page that becomes private meets them; one that becomes shared meets the last first.
    private let effects: [any PageStateEffect]
    private let failure = Mutex<SystemError?>(nil)

    init(_ effects: [any PageStateEffect]) { self.effects = effects }

    /// The first time that the kernel refused one: what was promised or measured is void then.
    package var firstFailure: SystemError? { failure.withLock { $0 } }

    /// Has all of them carried out, also where one fails, and tells for how long no conversion pays, by the clock `now`.
    @inline(__always)
    func willCommit(
        _ range: PageRange, to state: PageState, now: () -> UInt64
    ) -> UInt64 {
        var unpaid: UInt64 = 0
        var start = now()
        for step in effects.indices {
            let effect = effects[state == .private ? step : effects.count - 1 - step]
            do throws(SystemError) {
                try effect.willCommit(range, to: state)
            } catch {
                failure.withLock { $0 = $0 ?? error }
            }
            let end = now()
            if !effect.isPaidFor { unpaid &+= end &- start }
            start = end
        }
        return unpaid
    }
}
