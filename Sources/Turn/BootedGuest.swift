import DmaLinux
import Guest
import GuestMemory
import Hypervisor
import PinLock
import Telemetry
import Virtqueue
import VirtualDevice

/// A guest that has shared its queues and buffers, and is ready to use its devices.
struct BootedGuest {
    let hosted: HostedGuest
    let control: TurnControl
    let drivers: [Driver]
    let setupPSCNanoseconds: UInt64
    /// 2 MiB entries that sharing buffers and queues has split: no conversion's doing.
    let splitsAtBoot: UInt64

    /// What became of requests that had a time at which they were due; nil where none had.
    var dues: DueFigures? {
        var all = DueLog()
        for driver in drivers {
            guard driver.addDues(to: &all) else { return nil }
        }
        return DueFigures(
            median: all.latency.percentile(50), percentile99: all.latency.percentile(99),
            longestBacklog: all.longestBacklog)
    }

    /// What became of a trace's requests; nil where there was none.
    var replay: ReplayFigures? {
        var all = TraceFigures()
        for driver in drivers {
            guard driver.addTrace(to: &all) else { return nil }
        }
        return ReplayFigures(all)
    }

    /// Of the drivers' copies; nil where there are none.
    var copyMedian: UInt64? {
        var all = LatencyHistogram()
        for driver in drivers { driver.addCopies(to: &all) }
        return all.percentile(50)
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
        if !isRehearsed(plan.settings, plan.map) { _ = try boot(plan, shouldStop: shouldStop) }
        let guest = try boot(plan, shouldStop: shouldStop)
        return try RunningTurn(self, plan, guest, shouldStop: shouldStop).run(onSample: onSample)
    }

    /// Makes the guest, wholly private, and lets it share its queues and buffers.
    func boot(
        _ plan: TurnPlan, shouldStop: () -> Bool = { false }
    ) throws(MachineError) -> BootedGuest {
        let hosted = try makeGuest(
            plan.settings, plan.map, timeout: plan.timeoutNanoseconds, isProtected: plan.protects,
            shouldStop: shouldStop)
        let control = TurnControl(plan.limits(clock), devices: plan.map.buffers.count)
        let drivers: [Driver]
        do throws(PrepareError) {
            drivers = try makeDrivers(plan, hosted.view, control)
        } catch {
            throw .internalFault("the driver's request: \(error)")
        }
        let handler = PSCHandler(hosted.host)
        var refusal = handler.share(plan.map.queueAreas, shouldStop: shouldStop)
        let start = monotonicNanoseconds()
        refusal = refusal ?? handler.share(plan.map.bufferRanges, shouldStop: shouldStop)
        let elapsed = monotonicNanoseconds() - start
        if let refusal { throw .internalFault("the guest's first sharing got \(refusal)") }
        hosted.oracle.arm(plan.map.privateRanges, shouldStop: shouldStop)
        if shouldStop() { throw .interrupted }
        return BootedGuest(
            hosted: hosted, control: control, drivers: drivers, setupPSCNanoseconds: elapsed,
            splitsAtBoot: try system { () throws(SystemError) in try arena.splitCount() })
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
                        measure: { telemetry.measuresFrom = $0 },
                        failure: { telemetry.lastFailure }),
                    clock: clock, pace: plan.pace(ofDevice: index, clock), depth: plan.depth,
                    direction: plan.settings.direction, seed: plan.settings.seed,
                    trace: plan.trace,
                    listens: plan.processors.vcpusSleep, copies: plan.settings.writes)
            )
        }
        return drivers
    }
}
