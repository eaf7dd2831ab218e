import DmaLinux
import DmaWriter
import GuestMemory
import Hypervisor
import Oracle
import PinLock

/// What must hold when a turn is over and nothing runs any more.
struct TurnChecks {
    let machine: VirtualMachine
    let plan: TurnPlan
    let guest: BootedGuest

    /// The first promise that was broken, in words; nil where all were kept. Violations by the devices are no part of
    /// it: they are counted, since an unsafe strategy is expected to have some.
    ///
    /// What it says where it `shouldStop` in between is worth nothing.
    func complaint(shouldStop: () -> Bool) throws(SystemError) -> String? {
        guest.hosted.oracle.checkPrivatePages(
            machine.arena.table, except: plan.map.targetRanges,
            shouldStop: shouldStop)
        if shouldStop() { return nil }
        if let complaint = try guest.hosted.strategy.audit() {
            return "\(plan.strategy.info.name): \(complaint)"
        }
        guard plan.settings.stores else { return nil }
        if plan.map.sharedPages > PageCount(0) { return mixedComplaint() }
        for (index, generations) in lastCompleted where !shouldStop() {
            for (number, generation) in generations.enumerated() {
                let stamp = Stamp(device: UInt16(index), generation: generation)
                let piece = plan.map.piece(UInt64(number), of: index)
                // In the pool only the last piece's data is still there.
                if generation == generations.last {
                    let missing = missingPages(in: piece.ranges, stamp)
                    if missing > 0 {
                        return
                            "\(DeviceID(index)) did not write \(missing) pages of request \(generation)"
                    }
                }
                let lost = missingPages(in: piece.targets, stamp)
                if lost > 0 {
                    return
                        "the guest did not get \(lost) pages of \(DeviceID(index))'s request \(generation)"
                }
            }
        }
        return nil
    }

    /// Of a buffer that all devices write: each line is some device's last request's. Where one of them was not
    /// completed, what it left cannot be told.
    private func mixedComplaint() -> String? {
        let last = lastCompleted.compactMap { index, generations in
            generations.last.map { Stamp(device: UInt16(index), generation: $0) }
        }
        guard last.count == plan.map.buffers.count else { return nil }
        let missing = plan.map.bufferRanges.reduce(0) { $0 + missingPages(in: $1, oneOf: last) }
        return missing == 0 ? nil : "\(missing) pages have data of no device's last request"
    }

    /// The last request of each device that completed one last: its place among the devices, and its pieces.
    private var lastCompleted: [(index: Int, generations: [UInt64])] {
        guest.drivers.enumerated().compactMap { index, driver in
            driver.lastCompleted.isEmpty ? nil : (index, driver.lastCompleted)
        }
    }

    private func missingPages(in ranges: [PageRange], _ stamp: Stamp) -> Int {
        ranges.reduce(0) { $0 + missingPages(in: $1, oneOf: [stamp]) }
    }

    /// Pages of the range that do not carry the stamp on the line looked at; pages that were converted in this turn
    /// hold what the guest or the oracle left there.
    private func missingPages(in range: PageRange, oneOf stamps: [Stamp]) -> Int {
        guard guest.hosted.ledger.pagesConverted(in: range, since: .start) != nil else {
            return missing(range, stamps)
        }
        return (range.lower..<range.upper).reduce(0) { sum, page in
            let single = PageRange(start: page, count: 1)
            let isConverted = guest.hosted.ledger.pagesConverted(in: single, since: .start) != nil
            return sum + (isConverted ? 0 : missing(single, stamps))
        }
    }

    private func missing(_ range: PageRange, _ stamps: [Stamp]) -> Int {
        Verification.missingLines(
            in: UnsafeRawBufferPointer(guest.hosted.view.bytes(of: range)), expectedOneOf: stamps,
            engine: plan.settings.engine, coverage: .oneLinePerPage)
    }
}
