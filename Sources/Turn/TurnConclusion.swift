import DmaLinux
import GuestMemory
import Hypervisor
import PinLock
import VirtualDevice

/// The end of a turn in which nothing runs any more: what must hold is checked, and what was seen is put together.
struct TurnConclusion {
    let machine: VirtualMachine
    let plan: TurnPlan
    let guest: BootedGuest

    /// Throws where a promise was broken that is not a device's, or cannot be known to have been kept. Returns whether
    /// `shouldStop` had ended the turn early.
    func check(_ shouldStop: () -> Bool) throws(MachineError) -> Bool {
        let wasInterrupted = shouldStop()
        // What has not been checked is no result, and to check a guest so large takes longer than anybody waits.
        if wasInterrupted, plan.map.pages.bytes > Self.largestCheckAfterInterruption {
            throw .interrupted
        }
        let checks = TurnChecks(machine: machine, plan: plan, guest: guest)
        let complaint = try system { () throws(SystemError) in
            try checks.complaint(shouldStop: { !wasInterrupted && shouldStop() })
        }
        if shouldStop(), !wasInterrupted { throw .interrupted }
        if let complaint { throw .internalFault(complaint) }
        if let failure = guest.hosted.host.effects.firstFailure { throw .system(failure) }
        return wasInterrupted
    }

    private static let largestCheckAfterInterruption = ByteCount(4 << 30)

    /// Allocates again what the guest has freed: the next turn would pay for it.
    func refill(_ shouldStop: () -> Bool) throws(MachineError) {
        guard plan.settings.frees, plan.settings.writes else { return }
        try system { () throws(SystemError) in
            try guest.hosted.view.mapping.populate(
                0..<Int(plan.map.pages.bytes.rawValue), shouldStop: shouldStop)
        }
    }

    /// What the turn has come to, for after the check; what the harness met is left to be filled in.
    func outcome(
        _ measurements: Measurements, of devices: TurnDevices, _ vcpus: TurnVCPUs,
        conversions: ConversionLog
    ) throws(MachineError) -> TurnOutcome {
        let splits = try system { () throws(SystemError) in try machine.arena.splitCount() }
        let info = plan.strategy.info
        let (faults, stale) = (measurements.faults, measurements.requests.totals.stalePages)
        // Whether a conversion under a write is the strategy's fault.
        let isBroken = info.promisesByPins
        // A store that the page tables kept out of a private page is then as wrong as one that landed.
        let wrongStores = isBroken ? faults.count : 0
        let oracle = guest.hosted.oracle
        return TurnOutcome(
            measurements: measurements,
            measuredNanoseconds: guest.drivers.map(\.measuredNanoseconds),
            copyMedian: guest.copyMedian, dues: plan.countsFromDue ? guest.dues : nil,
            replay: guest.replay,
            conversions: conversions,
            setupPSCNanoseconds: guest.setupPSCNanoseconds,
            setupPinNanoseconds: devices.setupPinNanoseconds, hotPair: devices.hotPair,
            violationsPrivate: plan.settings.stores ? oracle.violations + wrongStores : nil,
            violationsStale: isBroken ? stale : 0,
            firstViolation: oracle.report ?? (wrongStores > 0 ? wrongStore(faults) : nil)
                ?? (isBroken ? measurements.firstStale : nil),
            leakedPins: machine.arena.livePins, splits: splits - guest.splitsAtBoot,
            faults: plan.protects ? faults : nil,
            cache: plan.strategy.isCached ? measurements.cache : nil,
            takenBack: guest.hosted.host.takenBack.found,
            // What a device has read of another frame is no loss.
            lostBytes: faults.lostBytes
                + (isBroken || !plan.settings.stores ? 0 : stale * pageSize),
            vcpus: vcpus.interference, longestVCPUStep: vcpus.longestStepNanoseconds,
            warmedUp: devices.handles.allSatisfy { $0.telemetry.settling == .done })
    }

    private func wrongStore(_ faults: FaultTotals) -> String {
        "\(GFN(faults.firstGFN)) was private when request \(faults.firstGeneration) wrote to it: "
            + "the store was stopped by the device's page tables, under a pin"
    }
}
