import DmaLinux
import Glibc
import VirtualDevice

/// Several devices at work, all watched whoever is waited for: one that dies or stands still may be what the others
/// wait for.
package struct DeviceWatch {
    let devices: [DeviceHandle]
    private let deaths: [Int32]

    package init(_ devices: [DeviceHandle]) {
        self.devices = devices
        deaths = devices.map(\.process.deathDescriptor)
    }

    /// Waits for deaths so long, or until the event; throws where there is one, or soon after a device has been stopped.
    package func check(milliseconds: UInt64, or event: Interrupt) throws(MachineError) {
        let ready = try readable(deaths + [event.descriptor.raw], milliseconds: milliseconds)
        let isOver: UInt64 = 1 << UInt64(deaths.count)
        if ready & isOver != 0 { event.wait(until: .now) }
        try throwDeath(among: ready & ~isOver)
        if let device = stuck(among: devices).first { throw device.silent() }
    }

    /// The next answer of each device, in their order; throws as soon as one has failed, died or been stopped, or nobody
    /// wants to know any more.
    package func answers(
        until deadline: Deadline, shouldStop: () -> Bool = { false }
    ) throws(MachineError) -> [DeviceReply] {
        var replies = [DeviceReply?](repeating: nil, count: devices.count)
        while true {
            if shouldStop() { throw .interrupted }
            // Before the answers: what a device has said before its death is there by then.
            let dead = try readable(deaths, milliseconds: 0)
            let pending = replies.indices.filter { replies[$0] == nil }
            if pending.isEmpty { return replies.compactMap(\.self) }
            let ready = try readable(
                pending.map { devices[$0].answerDescriptor }, milliseconds: dead == 0 ? 10 : 0)
            for (bit, index) in pending.enumerated() where ready & 1 << UInt64(bit) != 0 {
                replies[index] = try devices[index].receiveAnswer()
            }
            try throwDeath(among: dead)
            // One that has answered may sleep.
            let silent = pending.filter { replies[$0] == nil }.map { devices[$0] }
            if let device = stuck(among: silent).first { throw device.silent() }
            if deadline.hasPassed, let device = silent.first {
                throw .device("\(device.id) (pid \(device.process.pid)) does not answer")
            }
        }
    }

    /// Waits until each device has ended its turn or died, and kills those that do neither: at once whoever stands
    /// still, which others may wait for, the rest at the deadline. Returns those killed.
    package func endAll(until deadline: Deadline) -> [DeviceHandle] {
        var killed: [DeviceHandle] = []
        var pending = devices.filter(\.isInTurn)
        func kill(_ device: DeviceHandle) {
            device.process.terminate()
            killed.append(device)
        }
        while true {
            pending.removeAll { $0.process.poll() != nil }
            // Where the kernel does not let us wait, nobody can be heard, and nothing is waited for.
            let heard = try? readable(pending.map(\.answerDescriptor), milliseconds: 10)
            let ready = heard ?? 0
            let ended = pending.enumerated().filter { bit, device in
                guard ready & 1 << UInt64(bit) != 0 else { return false }
                // What it says of its set-up is of no interest any more, and a protection is no answer; whoever fails has
                // ended.
                do throws(MachineError) {
                    return try device.receiveAnswer().kind == .done
                } catch {
                    if case .system(let error) = error { return error.code != EPROTO }
                    return true
                }
            }.map(\.element.id)
            pending.removeAll { ended.contains($0.id) }
            if pending.isEmpty { return killed }
            let isOver = heard == nil || deadline.hasPassed
            for device in isOver ? pending : stuck(among: pending) { kill(device) }
        }
    }

    /// Those of `pending` that stand still: whoever is stopped, or else has been silent for long. One that waits for a
    /// mutex is silent as well, for the sake of a stopped one that holds it.
    private func stuck(among pending: [DeviceHandle]) -> [DeviceHandle] {
        let silent = pending.filter { $0.isSilent() }
        if silent.isEmpty { return [] }
        let stopped = devices.filter(\.process.isStopped)
        return stopped.isEmpty ? silent : stopped
    }

    private func throwDeath(among bits: UInt64) throws(MachineError) {
        if bits != 0 { throw devices[bits.trailingZeroBitCount].dead() }
    }

    private func readable(
        _ descriptors: [Int32], milliseconds: UInt64
    ) throws(MachineError) -> UInt64 {
        do throws(SystemError) {
            return try FileDescriptor.readable(descriptors, milliseconds: milliseconds)
        } catch {
            throw .system(error)
        }
    }
}
