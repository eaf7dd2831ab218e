import DmaLinux
import PinLock
import Synchronization

/// The hypervisor's side of a strategy whose devices ask it: a thread for each of them.
package final class DeviceServices {
    private let machine: VirtualMachine
    private var threads: [JoinableThread] = []
    private let fault = Fault()

    private final class Fault: Sendable {
        let error = Mutex<MachineError?>(nil)
    }

    package init(_ machine: VirtualMachine) { self.machine = machine }

    /// Why one of them could not go on.
    package var failure: MachineError? { fault.error.withLock { $0 } }

    /// Answers these devices from now on, on their own processors: a device sleeps while it is answered.
    package func start(
        _ devices: [DeviceHandle], of guest: HostedGuest, on processors: [Int]
    ) throws(MachineError) {
        let (host, fault) = (guest.host, fault)
        for (device, processor) in zip(devices, processors) {
            let thread = try system { () throws(SystemError) in
                try machine.startThread("serve-\(device.id.rawValue)", on: processor) {
                    let handler = PSCHandler(host)
                    do throws(SystemError) {
                        try device.serve(host.strategy, takeBack: handler.takeBack)
                    } catch {
                        fault.error.withLock { $0 = .system(error) }
                        device.endService()
                    }
                }
            }
            threads.append(JoinableThread(thread))
        }
    }

    /// Waits until the device at `index` is answered no more; returns at once where it never was.
    func join(_ index: Int) {
        if index < threads.count { threads[index].join() }
    }

    /// Waits until no device is answered any more.
    package func join() { for thread in threads { thread.join() } }
}
