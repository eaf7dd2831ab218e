import DmaLinux
import Glibc
import GuestMemory
import PinLock
import Synchronization
import Telemetry
import VirtualDevice

/// A device process as its hypervisor sees it: how to start it, talk to it, and know that it died.
package final class DeviceHandle: Sendable {
    package let id: DeviceID
    package let telemetry: DeviceTelemetry
    let process: ChildProcess
    private let control: ControlChannel
    private let kick: FileDescriptor
    /// Through which the device calls its driver, where that sleeps.
    package let call: Interrupt
    /// Where the strategy's `serve` hears the device.
    private let service: FileDescriptor
    private let pulse = Mutex(Pulse())
    private let inTurn = Atomic(false)

    /// Whether it has been told of a turn, and has not said yet how that ended.
    var isInTurn: Bool { inTurn.load(ordering: .relaxed) }

    /// What was last known of the process's time on a processor.
    private struct Pulse {
        var processorTime: UInt64 = 0
        /// When that was looked at, and for how long it had not grown then.
        var looked: UInt64 = 0
        var silence: UInt64 = 0
    }

    /// A device in a turn polls, or wakes every 20 ms: without processor time for so long it is stopped.
    private static let longestSilence: UInt64 = 5_000_000_000
    private static let lookInterval: UInt64 = 100_000_000

    /// Starts the process; call it from a thread that lives as long as the device should.
    init(
        _ id: DeviceID, processor: Int?, memory: SharedMapping, arena: SharedMapping,
        ledger: SharedMapping
    ) throws(SystemError) {
        self.id = id
        let samples = try SharedMapping.create(
            name: "dma-bench-telemetry", byteCount: DeviceTelemetry.byteCount)
        telemetry = DeviceTelemetry(samples)
        kick = try .event()
        call = Interrupt(try .event())
        let (ours, theirs) = try FileDescriptor.packetPair()
        control = ControlChannel(FileDescriptor(owning: ours))
        let remote = FileDescriptor(owning: theirs)
        let (near, far) = try FileDescriptor.packetPair()
        service = FileDescriptor(owning: near)
        let remoteService = FileDescriptor(owning: far)
        // In the order of `InheritedDescriptor`.
        process = try ChildProcess(
            arguments: DeviceArguments(index: id.rawValue, processor: processor).commandLine,
            descriptors: [
                remote.raw, memory.fileDescriptor, arena.fileDescriptor, ledger.fileDescriptor,
                samples.fileDescriptor, kick.raw, call.descriptor.raw, remoteService.raw,
            ])
    }

    package func begin(_ setup: TurnSetup) throws(MachineError) {
        telemetry.reset()
        pulse.withLock { $0 = Pulse(looked: monotonicNanoseconds()) }
        do throws(SystemError) {
            try control.send(setup)
        } catch {
            // Between two turns nobody watches: a death shows here first.
            throw error.isHangUp ? dead() : .system(error)
        }
        inTurn.store(true, ordering: .relaxed)
    }

    /// Tells a device whose duty it is which page to attack.
    package func attack(_ page: GFN) throws(MachineError) {
        do throws(SystemError) {
            try control.send(page.rawValue)
        } catch {
            throw error.isHangUp ? dead() : .system(error)
        }
    }

    /// Asks the device to finish the turn.
    package func end() {
        telemetry.shouldStop = true
        wake()
    }

    package func wake() { kick.notify() }

    /// Whether the device, in the midst of a turn, has not been on a processor for 5 s and does not wait for one. Cheap
    /// enough to be asked every millisecond; to be asked again and again.
    func isSilent() -> Bool {
        let now = monotonicNanoseconds()
        return pulse.withLock { pulse in
            guard now > pulse.looked + Self.lookInterval else { return false }
            let time = process.processorNanoseconds
            // An interval counts for little more than itself: whoever looks may have been stopped, too.
            let interval = min(now - pulse.looked, 2 * Self.lookInterval)
            let silence = time == pulse.processorTime ? pulse.silence + interval : 0
            pulse = Pulse(processorTime: time, looked: now, silence: silence)
            // On a busy machine a device that polls may be kept waiting longer: the scheduler holds its yields
            // against it.
            return silence >= Self.longestSilence && !process.isRunnable
        }
    }

    /// The error that says so.
    func silent() -> MachineError {
        .device(
            "\(id) (pid \(process.pid)) has not run for \(Self.longestSilence / 1_000_000_000) s: stopped?"
        )
    }

    /// Readable where there is an answer, or none will come.
    var answerDescriptor: Int32 { control.descriptor }

    /// The device's next answer; throws where it is a failure, or the device has died instead.
    func receiveAnswer() throws(MachineError) -> DeviceReply {
        let answer: (message: DeviceReply, text: String)?
        do throws(SystemError) {
            answer = try control.receive(DeviceReply.self)
        } catch {
            throw .system(error)
        }
        guard let (reply, text) = answer else { throw dead() }
        if reply.kind != .ready { inTurn.store(false, ordering: .relaxed) }
        switch reply.kind {
        case .failed: throw .device("\(id): \(text)")
        case .refused: throw .refused("\(id): \(text)")
        case .ready, .done: return reply
        }
    }

    /// What a device that enforces sends behind its first answer.
    package func receiveProtection() throws(MachineError) -> WriteProtection {
        do throws(SystemError) {
            return try WriteProtection(receivingFrom: control.descriptor)
        } catch {
            // Nothing comes from a device that has died since.
            throw [EPROTO, ECONNRESET].contains(error.code) ? dead() : .system(error)
        }
    }

    /// Answers what the device asks of the strategy, until it is done or `endService`.
    func serve(
        _ strategy: any PinStrategy, takeBack: (PageRange) -> Bool
    ) throws(SystemError) {
        try strategy.serve(id, on: service.raw, takeBack: takeBack)
    }

    /// Ends `serve` for a device that may never say that it is done, and tells a device that waits for an answer. No
    /// later turn has a service.
    package func endService() { service.hangUp() }

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
