import DmaWriter
import GuestMemory
import PinLock
import Synchronization

/// The hypervisor's half of the proof that no private page is written.
///
/// A page gets a canary when it becomes private, and the canary is checked before the page is shared again and at the
/// end of the turn. The other half is the devices': they compare the ledger before and after each DMA.
final class PrivatePageOracle: Sendable {
    private let view: GuestView
    private let ledger: ConversionLedger
    /// Whether devices write at all; without writes there is nothing to find, and nothing to touch.
    private let isAwake: Bool
    /// Before the guest has booted, private pages have no canary.
    private let isArmed = Atomic<Bool>(false)
    private let damagedPages = Atomic<UInt64>(0)
    private let firstDamage = Mutex<String?>(nil)

    init(view: GuestView, ledger: ConversionLedger, isAwake: Bool) {
        self.view = view
        self.ledger = ledger
        self.isAwake = isAwake
    }

    /// Pages whose canary a device has overwritten.
    var violations: UInt64 { damagedPages.load(ordering: .relaxed) }

    /// Which page was found first, and who wrote it.
    var report: String? { firstDamage.withLock { $0 } }

    /// Stamps the guest's private pages, and checks from now on what becomes shared.
    func arm(_ privateRanges: [PageRange]) {
        for range in privateRanges { stamp(range) }
        isArmed.store(true, ordering: .releasing)
    }

    /// Runs inside a conversion: the pages are the converter's alone.
    func willCommit(_ range: PageRange, to state: PageState) {
        if state == .private {
            ledger.willBecomePrivate(range)
            stamp(range)
        } else if isArmed.load(ordering: .acquiring) {
            check(range)
        }
    }

    private func stamp(_ range: PageRange) {
        guard isAwake else { return }
        for page in range.lower..<range.upper {
            Canary.stamp(view.pointer(to: PageRange(start: page, count: 1)), gfn: GFN(page))
        }
    }

    /// Checks every page that is private in the table.
    func checkPrivatePages(_ table: RMPTable) {
        guard isAwake else { return }
        for page in 0..<view.pages.rawValue where table.state(of: GFN(page)) == .private {
            check(PageRange(start: page, count: 1))
        }
    }

    private func check(_ range: PageRange) {
        guard isAwake else { return }
        for page in range.lower..<range.upper {
            guard
                let damage = Canary.damage(
                    view.pointer(to: PageRange(start: page, count: 1)), gfn: GFN(page))
            else { continue }
            damagedPages.wrappingAdd(1, ordering: .relaxed)
            firstDamage.withLock { $0 = $0 ?? damage.description }
        }
    }
}
