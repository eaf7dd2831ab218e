import DmaLinux
import GuestMemory
import PinLock
import VirtualDevice

/// The process of a device that serves a guest of somebody else's, as its hypervisor sees it.
package final class ServedHandle: Sendable {
    package let telemetry: ServedTelemetry
    package let process: ChildProcess
    private let control: ControlChannel
    /// Where the strategy's `serve` hears the device.
    private let service: FileDescriptor

    /// What a look at the device has brought.
    package enum News {
        case report(ServedReport, text: String)
        case nothing
        /// It has ended without a word; what it had pinned is to be recovered.
        case death(String)
    }

    /// Starts the process for a connection, which is its alone from then on: where it dies, the front-end sees that. Call
    /// it from a thread that lives as long as the device should. `recording` is there where `setup` says so; `store` is a
    /// descriptor, where the store has one.
    package init(
        _ guest: ServedGuest, _ setup: ServedSetup, connection: consuming StreamSocket,
        recording: SharedMapping?, store: Int32?
    ) throws(SystemError) {
        precondition(setup.records == (recording != nil), "a recording that has no place")
        let memory = try SharedMapping.create(
            name: "dma-bench-telemetry", byteCount: ServedTelemetry.byteCount)
        telemetry = ServedTelemetry(memory)
        let (ours, theirs) = try FileDescriptor.packetPair()
        control = ControlChannel(FileDescriptor(owning: ours))
        let remote = FileDescriptor(owning: theirs)
        let (near, far) = try FileDescriptor.packetPair()
        service = FileDescriptor(owning: near)
        let remoteService = FileDescriptor(owning: far)
        // In the order of `ServedDescriptor`.
        process = try ChildProcess(
            arguments: ServedArguments().commandLine,
            descriptors: [
                remote.raw, connection.descriptor.raw, guest.arena.mapping.fileDescriptor,
                guest.ledger.fileDescriptor, memory.fileDescriptor, remoteService.raw,
            ] + [recording?.fileDescriptor, store].compactMap(\.self))
        try? control.send(ServedCommand.setUp(setup))
    }

    /// Tells the device; where it has died, the next look says so.
    package func tell(_ command: ServedCommand) { try? control.send(command) }

    /// Sleeps until the device says something or dies, so long at most.
    package func listen(milliseconds: UInt64) throws(SystemError) -> News {
        let ready = try FileDescriptor.readable(
            [control.descriptor, process.deathDescriptor], milliseconds: milliseconds)
        // What it has said before its death comes first.
        if ready & 1 != 0, let (report, text) = try control.receive(ServedReport.self) {
            return .report(report, text: text)
        }
        guard ready != 0 else { return .nothing }
        return .death("\(process.wait(until: .after(milliseconds: 1000)))")
    }

    /// Answers what the device asks of the strategy, until it says that it is done or `endService`.
    package func serve(_ strategy: any PinStrategy) throws(SystemError) {
        try strategy.serve(DeviceID(0), on: service.raw, takeBack: { _ in false })
    }

    package func endService() { service.hangUp() }
}
