import DmaLinux
import GuestMemory
import Hypervisor
import PinLock
import Telemetry
import VirtualDevice

/// The devices of a turn: told what to do, watched, and brought to their end, whatever becomes of them.
final class TurnDevices {
    let handles: [DeviceHandle]
    private let machine: VirtualMachine
    private let plan: TurnPlan
    private let guest: HostedGuest
    private let watch: DeviceWatch
    private let services: DeviceServices
    private let recovery: DeviceRecovery
    /// What the devices' pins at set-up took, all together.
    private(set) var setupPinNanoseconds = 0.0
    private var hotPairs: [HotPair] = []

    /// How long a device that runs may take for what is in flight: the largest requests take a minute.
    private static let timeout: UInt64 = 600_000_000_000
    static var answerDeadline: Deadline { .after(nanoseconds: timeout) }

    init(_ machine: VirtualMachine, _ plan: TurnPlan, _ guest: HostedGuest) {
        self.machine = machine
        self.plan = plan
        self.guest = guest
        handles = Array(machine.devices.prefix(plan.map.buffers.count))
        watch = DeviceWatch(handles)
        services = DeviceServices(machine)
        recovery = DeviceRecovery(watch, strategy: guest.strategy, services: services)
    }

    /// One pin and unpin in a warm loop: the median device's.
    var hotPair: HotPair { hotPairs.sorted { $0.nanoseconds < $1.nanoseconds }[hotPairs.count / 2] }

    /// Returns once all of them are at their work.
    func start(
        _ duty: DeviceDuty = .serve, shouldStop: () -> Bool = { false }
    ) throws(MachineError) {
        if plan.strategy.info.isServed {
            try services.start(handles, of: guest, on: plan.processors.devices)
        }
        for (index, device) in handles.enumerated() {
            var setup = plan.setup(ofDevice: index, scale: machine.clock.scale)
            setup.duty = duty
            try device.begin(setup)
        }
        for reply in try answers(shouldStop: shouldStop) {
            setupPinNanoseconds += reply.setupPinNanoseconds
            hotPairs.append(reply.hotPair)
        }
        guard let mmu = guest.mmu else { return }
        for device in handles {
            let protection = try device.receiveProtection()
            do throws(SystemError) {
                try mmu.add(protection, privateRanges: plan.map.privateRanges)
            } catch {
                throw .system(error)
            }
        }
    }

    /// The next answer of each.
    func answers(shouldStop: () -> Bool = { false }) throws(MachineError) -> [DeviceReply] {
        try watch.answers(until: Self.answerDeadline, shouldStop: shouldStop)
    }

    /// Sleeps so long, or until a vCPU has come to its end; throws where a device has died or been stopped, or cannot be
    /// answered.
    func check(milliseconds: UInt64) throws(MachineError) {
        try checkServices()
        try watch.check(milliseconds: milliseconds, or: machine.finished)
    }

    func checkServices() throws(MachineError) {
        if let failure = services.failure { throw failure }
    }

    /// Has all of them finish, and hand over what they have measured.
    func end() throws(MachineError) -> Measurements {
        for device in handles { device.end() }
        let measurements = Measurements()
        for (device, done) in zip(handles, try answers()) { measurements.take(done, of: device) }
        return measurements
    }

    // MARK: A turn that fails

    /// Takes the dead devices' pins back and has the others end, once: whoever waits for them waits no more.
    func recover() { recovery.run() }

    /// Has nothing run any more, and says what became of the turn that failed so.
    func clearUp(after error: MachineError) -> MachineError {
        if case .interrupted = error {
            interrupt()
            return error
        }
        recover()
        // What follows from a fault may be seen first.
        let cause = services.failure ?? error
        guard case .device(let text) = cause else { return cause }
        return .recovered(
            text + recovery.note, refusal: recovery.refusal, leakedPins: machine.arena.livePins)
    }

    /// Whoever does not come to its end at once is killed. Its pins go with the arena.
    private func interrupt() {
        for device in handles { device.end() }
        let killed = watch.endAll(until: .now)
        for device in handles { device.endService() }
        machine.hasLostDevices = !killed.isEmpty
    }

    /// Nobody is answered any more from its return on. Every turn ends with it.
    func joinServices() { services.join() }
}
