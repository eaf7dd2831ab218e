import DmaLinux
import Guest
import Hypervisor
import PinLock
import Telemetry

/// A turn while devices and vCPUs run: in which order they start, and how they come to an end.
///
/// The programs know when the measurement begins and ends, and the devices keep their own figures. So the harness's
/// thread sleeps: it watches for deaths, and for whoever stands still.
final class RunningTurn {
    private let plan: TurnPlan
    private let guest: BootedGuest
    private let devices: TurnDevices
    private let vcpus: TurnVCPUs
    private let converterPort: PSCHandler
    private let samples: SampleStream?
    private let conclusion: TurnConclusion
    private let shouldStop: () -> Bool

    /// How long the harness sleeps, in milliseconds; less where it has samples to take. A death and the end of a vCPU wake
    /// it. Each nap that ends takes some 30 us from a vCPU that has its processor: ten a second are 0.03 % of the time.
    private static let nap: UInt64 = 100
    private static let napBetweenSamples: UInt64 = 1
    /// How long requests in flight have for their end once the run has been interrupted: who is within a large one is
    /// killed.
    private static let interruptionMilliseconds: UInt64 = 200

    init(
        _ machine: VirtualMachine, _ plan: TurnPlan, _ guest: BootedGuest,
        shouldStop: @escaping () -> Bool
    ) {
        self.plan = plan
        self.guest = guest
        self.shouldStop = shouldStop
        devices = TurnDevices(machine, plan, guest.hosted)
        converterPort = PSCHandler(guest.hosted.host, events: plan.eventLimit)
        vcpus = TurnVCPUs(machine, plan, guest, devices, port: converterPort)
        samples =
            plan.streamsSamples
            ? SampleStream(devices.handles, piecesPerRequest: plan.map.piecesPerRequest) : nil
        conclusion = TurnConclusion(machine: machine, plan: plan, guest: guest)
    }

    func run(onSample: (DeviceID, DMASample) -> Void) throws(MachineError) -> TurnOutcome {
        defer { devices.joinServices() }
        let before = HarnessState()
        let measurements: Measurements
        do throws(MachineError) {
            try devices.start(shouldStop: shouldStop)
            try runVCPUs(onSample)
            measurements = try devices.end()
        } catch {
            throw devices.clearUp(after: error)
        }
        let meanwhile = HarnessState().since(before)
        samples?.drain(onSample)
        let wasInterrupted = try conclusion.check(shouldStop)
        try conclusion.refill(shouldStop)
        var outcome = try conclusion.outcome(
            measurements, of: devices, vcpus, conversions: converterPort.takeLog())
        outcome.throttledNanoseconds = meanwhile.throttledNanoseconds
        outcome.harnessStops = meanwhile.stops
        outcome.stalls = samples?.stalls ?? 0
        outcome.deviceStarts = devices.handles.map(\.telemetry.firstStart)
        outcome.wasInterrupted = wasInterrupted
        return outcome
    }

    /// Lets the vCPUs run until their programs have come to an end.
    private func runVCPUs(_ onSample: (DeviceID, DMASample) -> Void) throws(MachineError) {
        let control = guest.control
        defer { vcpus.join() }
        do throws(MachineError) {
            try vcpus.start()
            try watch(until: { control.driversAreDone || shouldStop() }, onSample)
            if !control.driversAreDone {
                control.end()
                // What is in flight comes to its end, or its device does.
                let end = Deadline.after(milliseconds: Self.interruptionMilliseconds)
                try watch(until: { control.driversAreDone || end.hasPassed }, onSample)
                guard control.driversAreDone else { throw .interrupted }
            }
            if let error = control.deviceError { throw .device("\(error)") }
            try devices.checkServices()
        } catch {
            control.abandon()
            if case .interrupted = error { throw error }
            // Before the vCPUs are waited for: one may wait for a pin of the dead.
            devices.recover()
            throw error
        }
    }

    /// Sleeps until the condition holds; throws as soon as a device has died, and soon after it has been stopped.
    private func watch(
        until condition: () -> Bool, _ onSample: (DeviceID, DMASample) -> Void
    ) throws(MachineError) {
        let nap = samples == nil ? Self.nap : Self.napBetweenSamples
        var (answers, timeout) = (guest.control.answerCount, TurnDevices.answerDeadline)
        while !condition() {
            samples?.drain(onSample)
            if guest.control.answerCount != answers {
                (answers, timeout) = (guest.control.answerCount, TurnDevices.answerDeadline)
            }
            if timeout.hasPassed { throw .device("a device does not complete its request") }
            if guest.control.isHopeless {
                let count = guest.drivers.reduce(0) { $0 + $1.failuresInARow }
                throw .refused(
                    """
                    no device gets its pins any more, for want of memory or room: \
                    \(count) requests have failed in a row; raise ulimit -l, or --pin-limit
                    """)
            }
            try devices.check(milliseconds: nap)
        }
    }
}
