import DmaWriter
import Guest
import GuestMemory
import Linux
import PinLock
import Synchronization
import Telemetry
import Virtqueue
import VirtualDevice

/// What came of one turn.
public struct TurnOutcome {
    public let measurements: Measurements
    /// Median of the guest's copies of whole requests out of its pools, in nanoseconds; nil where it has none.
    public let copyMedian: UInt64?
    public let conversions: ConversionLog
    /// The guest's sharing of its buffers, and the devices' pins at set-up, in nanoseconds.
    public let setupPSCNanoseconds: UInt64
    public let setupPinNanoseconds: Double
    /// One pin and unpin in a warm loop: the median device's.
    public let hotPair: HotPair
    /// Pages whose canary a device overwrote; pages that were converted while a device had them pinned.
    /// The first is nil without writes, when nobody looks.
    public let violationsPrivate: UInt64?
    public let violationsStale: UInt64
    public let firstViolation: String?
    /// Pins left when all devices had given theirs back.
    public let leakedPins: Int
    public let splits: UInt64
    /// Stores that faulted, and what became of them; nil where nothing could fault.
    public let faults: FaultTotals?
    /// What the devices' caches of pins did from the first request on, warm-up included; nil where they have none.
    public let cache: CacheCounters?
    /// Pages that the guest found taken back.
    public let surprises: UInt64
    /// Bytes of requests that were completed or given up which never reached the guest.
    public let lostBytes: UInt64
    /// What kept each vCPU from its work, the converter's first.
    public let vcpus: [Interference]
    /// The longest step of a vCPU that takes as long as it takes: so long may a conversion that is due wait.
    public let longestVCPUStep: Double
    /// For how long a CPU quota kept the harness and its devices from running; nil where nobody tells.
    public let throttledNanoseconds: UInt64?
    /// How often the harness itself was stopped.
    public let harnessStops: UInt64
    public let warmedUp: Bool
    /// How often a device waited, between two requests, for the harness to take its samples.
    public let stalls: UInt64
    public let wasInterrupted: Bool

    /// The longest time for which a request waited for a conversion before it had its pins or gave up, in nanoseconds;
    /// nil where none did.
    public var longestPinWait: UInt64? {
        measurements.longestPinWait > 0 ? measurements.longestPinWait : nil
    }

    /// Whether somebody who took part has been stopped, and gone on.
    public var wasStopped: Bool {
        harnessStops > 0 || measurements.interference.contains { $0.stops > 0 }
    }
}

extension VirtualMachine {
    /// Runs one turn: boots the guest, lets devices and vCPUs run against each other until there are enough DMAs, and
    /// checks afterwards that every promise was kept.
    ///
    /// Stops early where `shouldStop` says so, within half a second: with what has been measured until then, or by
    /// throwing `interrupted`. A device that dies ends the turn: its pins are recovered, the others finish, and the error
    /// names it.
    public func run(
        _ plan: TurnPlan, shouldStop: @escaping () -> Bool,
        onSample: (DeviceID, DMASample) -> Void = { _, _ in }
    ) throws(MachineError) -> TurnOutcome {
        guard !hasLostDevices else { throw .interrupted }
        // The first touch of what the strategy and its pages take is nobody's cost.
        if !isRehearsed(plan) { _ = try boot(plan, shouldStop: shouldStop) }
        let turn = RunningTurn(
            machine: self, plan: plan, guest: try boot(plan, shouldStop: shouldStop),
            shouldStop: shouldStop)
        return try turn.run(onSample: onSample)
    }

    /// Makes the guest, wholly private, and lets it share its queues and buffers.
    func boot(
        _ plan: TurnPlan, shouldStop: () -> Bool = { false }
    ) throws(MachineError) -> BootedGuest {
        let view = GuestView(memory, pages: plan.map.pages)
        let ledger = ConversionLedger(self.ledger, pages: plan.map.pages)
        let frames: GuestView
        do throws(SystemError) {
            try reset(for: plan, shouldStop: shouldStop)
            frames = try privateFrames(for: plan) ?? view
        } catch {
            throw .system(error)
        }
        let mmu = plan.protects ? DeviceMMU(isPaidFor: plan.strategy.info.protectsPages) : nil
        let oracle = PrivatePageOracle(
            view: frames, ledger: ledger, isAwake: plan.settings.writes, frees: plan.settings.frees)
        // No store lands behind the canary; none is let in before the check.
        let effects: [(any PageStateEffect)?] = [
            mmu,
            PrivateMemory(shared: view, frames: frames, frees: plan.settings.frees),
            oracle,
        ]
        let host = PSCHost(
            strategy: plan.strategy.init(arena: arena), policy: plan.settings.policy,
            timeout: plan.timeoutNanoseconds,
            effects: PageStateEffects(effects.compactMap(\.self)),
            takenBack: TakenBackPages(), clock: clock,
            wakeDevices: { [devices] in for device in devices { device.wake() } })
        let control = TurnControl(plan.limits(clock), devices: plan.map.buffers.count)
        let drivers: [Driver]
        do throws(PrepareError) {
            drivers = try makeDrivers(plan, view, control)
        } catch {
            throw .internalFault("the driver's request: \(error)")
        }
        let handler = PSCHandler(host)
        var refusal = handler.share(plan.map.queueAreas, shouldStop: shouldStop)
        let start = monotonicNanoseconds()
        refusal = refusal ?? handler.share(plan.map.bufferRanges, shouldStop: shouldStop)
        let elapsed = monotonicNanoseconds() - start
        if let refusal { throw .internalFault("the guest's first sharing got \(refusal)") }
        oracle.arm(plan.map.privateRanges, shouldStop: shouldStop)
        if shouldStop() { throw .interrupted }
        let splits: UInt64
        do throws(SystemError) {
            splits = try arena.splitCount()
        } catch {
            throw .system(error)
        }
        return BootedGuest(
            view: view, ledger: ledger, host: host, mmu: mmu, oracle: oracle, control: control,
            drivers: drivers,
            setupPSCNanoseconds: elapsed, splitsAtBoot: splits)
    }

    private func makeDrivers(
        _ plan: TurnPlan, _ view: GuestView, _ control: TurnControl
    ) throws(PrepareError) -> [Driver] {
        var drivers: [Driver] = []
        for index in plan.map.buffers.indices {
            let device = devices[index]
            let telemetry = device.telemetry
            drivers.append(
                try Driver(
                    of: index, map: plan.map, view: view, control: control,
                    signals: Driver.DeviceSignals(
                        kick: plan.processors.devicesSleep ? { device.wake() } : nil,
                        isSettled: { telemetry.settling != .underWay },
                        measure: { telemetry.measuresFrom = $0 }),
                    clock: clock, listens: plan.processors.vcpusSleep, copies: plan.settings.writes)
            )
        }
        return drivers
    }
}

/// A booted guest and what serves it.
struct BootedGuest {
    let view: GuestView
    let ledger: ConversionLedger
    let host: PSCHost
    /// Nil where devices are kept from private pages by no page tables.
    let mmu: DeviceMMU?
    let oracle: PrivatePageOracle
    let control: TurnControl
    let drivers: [Driver]
    let setupPSCNanoseconds: UInt64
    /// 2 MiB entries that sharing buffers and queues has split: no conversion's doing.
    let splitsAtBoot: UInt64

    var strategy: any PinStrategy { host.strategy }

    /// Of the drivers' copies; nil where there are none.
    var copyMedian: UInt64? {
        var all = LatencyHistogram()
        for driver in drivers { driver.addCopies(to: &all) }
        return all.percentile(50)
    }
}
