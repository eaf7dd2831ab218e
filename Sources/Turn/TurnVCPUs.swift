import DmaLinux
import Guest
import Hypervisor
import Telemetry

/// The vCPUs of a turn: which programs each of them runs, and its thread.
final class TurnVCPUs {
    private let machine: VirtualMachine
    private let plan: TurnPlan
    private let guest: BootedGuest
    private let vcpus: [VCPU]
    private var threads: [JoinableThread] = []

    /// `port` is where the converter's page state changes go.
    init(
        _ machine: VirtualMachine, _ plan: TurnPlan, _ guest: BootedGuest, _ devices: TurnDevices,
        port: PSCHandler
    ) {
        self.machine = machine
        self.plan = plan
        self.guest = guest
        let processors = plan.processors
        var programs: [[any GuestProgram]] = processors.vcpus.map { _ in [] }
        // Each vCPU hears the devices of its own drivers.
        var calls: [[Int32]] = processors.vcpus.map { _ in [] }
        for (index, (driver, device)) in zip(guest.drivers, devices.handles).enumerated() {
            programs[processors.vcpu(ofDriver: index)].append(driver)
            calls[processors.vcpu(ofDriver: index)].append(device.call.descriptor.raw)
        }
        let settings = plan.settings
        func converter(_ hypercalls: any Hypercalls) -> Converter {
            Converter(
                map: plan.map, rate: settings.convertRate.hertz, pages: settings.convertPages,
                place: settings.convertPlace, seed: settings.seed, clock: machine.clock,
                hypercalls: hypercalls, control: guest.control)
        }
        if settings.convertRate != 0, !settings.converterBlocks {
            programs[0].insert(converter(port), at: 0)
        }
        func vcpu(_ programs: [any GuestProgram], _ idling: VCPU.Idling) -> VCPU {
            VCPU(programs, clock: machine.clock, control: guest.control, idling: idling)
        }
        var vcpus = zip(programs, calls).filter { !$0.0.isEmpty }.map { programs, calls in
            vcpu(
                programs,
                processors.vcpusSleep
                    ? .sleep { _ = FileDescriptor.waitNotified(calls, until: $0) } : .poll)
        }
        if settings.convertRate != 0, settings.converterBlocks {
            let blocking = converter(BlockingHypercalls(port, guest.control))
            vcpus.append(vcpu([blocking], .sleep { DmaLinux.sleep(until: $0) }))
        }
        self.vcpus = vcpus
    }

    func start() throws(MachineError) {
        let (processors, finished) = (plan.processors.vcpus, machine.finished)
        for (number, vcpu) in vcpus.enumerated() {
            let thread = try system { () throws(SystemError) in
                try machine.startThread(
                    "vcpu-\(number)", on: processors[min(number, processors.count - 1)]
                ) {
                    Processors.sharpenTimers()
                    vcpu.run()
                    finished.notify()
                }
            }
            threads.append(JoinableThread(thread))
        }
    }

    /// Waits until the programs have come to their end.
    func join() { for thread in threads { thread.join() } }

    /// What kept each from its work, the converter's first; for after `join`, as the next one.
    var interference: [Interference] { vcpus.map(\.interference) }
    var longestStepNanoseconds: Double { vcpus.map(\.longestStepNanoseconds).max() ?? 0 }
}
