import Glibc
import GuestMemory
import Linux
import PinLock
import Telemetry
import VirtualDevice

/// A device process as its hypervisor sees it: how to start it, talk to it, and know that it died.
final class DeviceHandle: Sendable {
    let id: DeviceID
    let telemetry: DeviceTelemetry
    let process: ChildProcess
    private let control: ControlChannel
    private let kick: FileDescriptor

    /// Starts the process; call it from a thread that lives as long as the device should.
    init(
        _ id: DeviceID, processor: Int?, memory: SharedMapping, arena: SharedMapping,
        ledger: SharedMapping,
        call: borrowing FileDescriptor
    ) throws(SystemError) {
        self.id = id
        let samples = try SharedMapping.create(
            name: "dma-bench-telemetry", byteCount: DeviceTelemetry.byteCount)
        try samples.populate(0..<samples.byteCount)
        telemetry = DeviceTelemetry(samples)
        kick = try .event()
        let (ours, theirs) = try FileDescriptor.packetPair()
        control = ControlChannel(FileDescriptor(owning: ours))
        let remote = FileDescriptor(owning: theirs)
        // In the order of `InheritedDescriptor`.
        process = try ChildProcess(
            arguments: DeviceArguments(index: id.rawValue, processor: processor).commandLine,
            descriptors: [
                remote.raw, memory.fileDescriptor, arena.fileDescriptor, ledger.fileDescriptor,
                samples.fileDescriptor, kick.raw, call.raw,
            ])
    }

    func begin(_ setup: TurnSetup) throws(MachineError) {
        telemetry.shouldStop = false
        do throws(SystemError) {
            try control.send(setup)
        } catch {
            // Between two turns nobody watches: a death shows here first.
            throw [EPIPE, ECONNRESET].contains(error.code) ? dead() : .system(error)
        }
    }

    /// Asks the device to finish the turn.
    func end() {
        telemetry.shouldStop = true
        wake()
    }

    func wake() { kick.notify() }

    /// The device's next answer, within the time; throws where it died or stays silent.
    func answer(until deadline: Deadline) throws(MachineError) -> DeviceReply {
        while true {
            let left = deadline.nanoseconds - min(deadline.nanoseconds, monotonicNanoseconds())
            let ready = FileDescriptor.readable(
                [control.descriptor, process.deathDescriptor], milliseconds: left / 1_000_000 + 1)
            if ready & 1 != 0 {
                let message: (DeviceReply, String)?
                do throws(SystemError) {
                    message = try control.receive(DeviceReply.self)
                } catch {
                    throw .system(error)
                }
                guard let (reply, text) = message else { throw dead() }
                if reply.kind == .failed { throw .device("\(id): \(text)") }
                return reply
            }
            if ready & 2 != 0 { throw dead() }
            if deadline.hasPassed { throw .device("\(id) (pid \(process.pid)) does not answer") }
        }
    }

    /// The error that says how the process ended.
    func dead() -> MachineError {
        let end = process.wait(until: .after(milliseconds: 1000))
        return .device("\(id) (pid \(process.pid)) \(end)")
    }

    /// Lets the process end by itself, which the closed socket tells it to.
    func shutDown() {
        end()
        control.hangUp()
        process.wait(until: .after(milliseconds: 2000))
    }
}
