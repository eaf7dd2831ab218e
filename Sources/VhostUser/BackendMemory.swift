import DmaLinux

// What front-end and back-end share: guest memory, the dirty log, the log of requests under way.
extension Backend {
    mutating func changeMemory(
        _ request: Request, _ descriptors: inout ReceivedDescriptors
    ) throws(ProtocolError) -> Effect {
        var changed = memory
        switch request {
        case .setMemoryTable(let regions):
            changed = MemoryTable()
            for region in regions { try changed.add(map(region, &descriptors)) }
        case .addMemoryRegion(let region): try changed.add(map(region, &descriptors))
        case .removeMemoryRegion(let region): try changed.remove(region)
        default: preconditionFailure("\(request.code.name) is about something else")
        }
        for (index, queue) in queues.enumerated() {
            guard let rings = queue.rings, let addresses = queue.addresses else { continue }
            do throws(QueueFault) {
                queues[index].rings = try QueueRings(addresses, size: rings.size, in: changed)
            } catch { throw .memory(.underQueue(index)) }
        }
        memory = changed
        try checkLog()
        return .memoryChanged
    }

    private func map(
        _ region: RegionDescription, _ descriptors: inout ReceivedDescriptors
    ) throws(ProtocolError) -> MemoryRegion {
        // There is one for each, or the request would have been refused.
        try MemoryRegion(region, descriptor: descriptors.take()!)
    }

    mutating func setLog(
        _ log: LogDescription, _ descriptors: inout ReceivedDescriptors
    ) throws(ProtocolError) {
        dirtyLog = try DirtyLog(log, descriptor: descriptors.take()!)
        try checkLog()
    }

    /// While the guest migrates, every page that is written has its bit, if there is a log yet.
    func checkLog() throws(ProtocolError) {
        guard features.contains(.logAll), let dirtyLog else { return }
        guard dirtyLog.covers(0, byteCount: memory.guestEnd) else {
            throw .log(.tooShort(dirtyLog.byteCount, guestEnd: memory.guestEnd))
        }
        for (index, queue) in queues.enumerated() {
            guard let rings = queue.rings, let start = queue.addresses?.usedRingLog else {
                continue
            }
            guard dirtyLog.covers(start, byteCount: rings.usedRingByteCount) else {
                throw .log(.usedRing(index))
            }
        }
    }

    func makeInflight(_ asked: InflightDescription) throws(ProtocolError) -> Reply {
        try checkInflight(asked)
        let memory = try refused { () throws(SystemError) in
            try InflightLog.create(
                queueCount: Int(asked.queueCount), queueSize: Int(asked.queueSize))
        }
        var writer = PayloadWriter()
        InflightDescription(
            byteCount: UInt64(memory.byteCount), queueCount: asked.queueCount,
            queueSize: asked.queueSize
        ).put(to: &writer)
        return Reply(to: .getInflight, payload: writer.bytes, memory: memory)
    }

    mutating func setInflight(
        _ given: InflightDescription, _ descriptors: inout ReceivedDescriptors
    ) throws(ProtocolError) {
        try checkInflight(given)
        for (index, queue) in queues.enumerated() where queue.isStarted {
            throw .queue(index, .isRunning(.setInflight))
        }
        inflight = try InflightLog(given, descriptor: descriptors.take()!)
    }

    private func checkInflight(_ inflight: InflightDescription) throws(ProtocolError) {
        let (count, size) = (Int(inflight.queueCount), UInt32(inflight.queueSize))
        guard (1...device.queueCount).contains(count) else {
            throw .inflight(.queues(count, limit: device.queueCount))
        }
        guard (1...Queue.sizeLimit).contains(size) else { throw .inflight(.size(size)) }
    }
}
