import DmaLinux
import DmaWriter
import GuestMemory
import Oracle
import PinLock
import Synchronization

/// The hypervisor's half of the proof that no private page is written.
///
/// A page gets a canary when it becomes private, and the canary is checked before the page is shared again and at the
/// end of the turn. One that the guest frees is a hole, and must read as zero then. The other half is the devices':
/// they compare the ledger before and after each DMA.
package final class PrivatePageOracle: PageStateEffect {
    let isPaidFor = false
    private let view: GuestView
    private let ledger: ConversionLedger
    /// Whether devices write at all; without writes there is nothing to find, and nothing to touch.
    private let isAwake: Bool
    /// Whether the guest frees the pages that it takes from the devices.
    private let frees: Bool
    /// Before the guest has booted, private pages have no canary.
    private let isArmed = Atomic<Bool>(false)
    private let damagedPages = Atomic<UInt64>(0)
    private let firstDamage = Mutex<String?>(nil)
    /// Pages that the guest has given back, once: whenever they are private again it has given them back again.
    private let freed = Mutex<Set<GFN>>([])

    init(view: GuestView, ledger: ConversionLedger, isAwake: Bool, frees: Bool) {
        self.view = view
        self.ledger = ledger
        self.isAwake = isAwake
        self.frees = frees
    }

    /// Pages whose canary a device has overwritten.
    package var violations: UInt64 { damagedPages.load(ordering: .relaxed) }

    /// Which page was found first, and who wrote it.
    package var report: String? { firstDamage.withLock { $0 } }

    /// Stamps the guest's private pages, until `shouldStop`, and checks from now on what becomes shared.
    package func arm(_ privateRanges: [PageRange], shouldStop: () -> Bool = { false }) {
        for range in privateRanges {
            for start in stride(from: range.lower, to: range.upper, by: Self.step) {
                if shouldStop() { return }
                stamp(
                    PageRange(start: start, count: min(UInt64(Self.step), range.upper - start)))
            }
        }
        isArmed.store(true, ordering: .releasing)
    }

    /// Freed pages have been made holes already.
    func willCommit(_ range: PageRange, to state: PageState) {
        if state == .private {
            ledger.willBecomePrivate(range)
            if frees {
                freed.withLock { $0.formUnion((range.lower..<range.upper).map { GFN($0) }) }
            } else {
                stamp(range)
            }
        } else if isArmed.load(ordering: .acquiring) {
            check(range)
        }
    }

    /// Pages that are worked through at once, where somebody may want it to stop.
    private static let step = 16_384

    private func stamp(_ range: PageRange) {
        guard isAwake else { return }
        for page in range.lower..<range.upper {
            Canary.stamp(view.pointer(to: PageRange(start: page, count: 1)), gfn: GFN(page))
        }
    }

    /// Checks every page that is private in the table, but for those that the guest itself writes: `own`, in the order
    /// of their addresses. Until `shouldStop`.
    package func checkPrivatePages(
        _ table: RMPTable, except own: [PageRange], shouldStop: () -> Bool = { false }
    ) {
        guard isAwake else { return }
        let starts = [0] + own.map(\.upper)
        let ends = own.map(\.lower) + [view.pages.rawValue]
        for (start, end) in zip(starts, ends) {
            for page in start..<end {
                if page % UInt64(Self.step) == 0, shouldStop() { return }
                guard table.state(of: GFN(page)) == .private else { continue }
                check(PageRange(start: page, count: 1))
            }
        }
    }

    private func check(_ range: PageRange) {
        guard isAwake else { return }
        for page in range.lower..<range.upper {
            let single = PageRange(start: page, count: 1)
            let isFreed = freed.withLock { $0.contains(single.start) }
            let damage =
                isFreed
                ? damageAfterFree(single)
                : Canary.damage(view.pointer(to: single), gfn: GFN(page))?.description
            guard let damage else { continue }
            damagedPages.wrappingAdd(1, ordering: .relaxed)
            firstDamage.withLock { $0 = $0 ?? damage }
        }
    }

    /// What has been written to a page since the guest gave it back; nil where it is a hole, or as good as one.
    private func damageAfterFree(_ page: PageRange) -> String? {
        withUnsafeTemporaryAllocation(of: UInt64.self, capacity: Int(pageSize) / 8) { words in
            words.initialize(repeating: 0)
            let start = Int(page.start.address)
            do throws(SystemError) {
                try view.mapping.read(
                    start..<start + Int(pageSize), into: UnsafeMutableRawBufferPointer(words))
            } catch {
                return "\(page.start): \(error)"
            }
            guard let word = words.first(where: { $0 != 0 }) else { return nil }
            let culprit = Stamp(decoding: word).map { " by \($0)" } ?? ""
            return "\(page.start): written after it was freed\(culprit)"
        }
    }
}
