import DmaLinux

/// Queues that the device has to stop before the conversation goes on.
struct Stop: Sendable {
    let queues: [Int]
    /// Whether the front-end asked for where the queue stops.
    let isForBase: Bool
    let reply: Reply?
}

// Each queue's way from stopped to started and back (vhost-user.rst, "Ring states").
extension Backend {
    mutating func changeQueue(
        _ request: Request, _ descriptors: inout ReceivedDescriptors
    ) throws(ProtocolError) -> (Effect, Reply?) {
        switch request {
        case .setQueueSize(let queue, let size):
            let index = try stopped(queue, request.code)
            guard (1...Queue.sizeLimit).contains(size), size & (size - 1) == 0 else {
                throw .queue(index, .size(size))
            }
            queues[index].size = Int(size)
        case .setQueueBase(let queue, let base):
            let index = try stopped(queue, request.code)
            guard let base = UInt16(exactly: base) else { throw .queue(index, .base(base)) }
            queues[index].base = base
        case .setQueueAddresses(let queue, let addresses):
            return (try setAddresses(addresses, of: try known(queue)), nil)
        case .setKick(let queue, _):
            let event = try event(of: queue, &descriptors)
            return (try start(Int(queue), kick: event), nil)
        case .setCall(let queue, _):
            queues[try known(UInt32(queue))].call = try event(of: queue, &descriptors)
            return (.queueChanged(Int(queue)), nil)
        case .setError(let queue, _):
            queues[try known(UInt32(queue))].error = try event(of: queue, &descriptors)
            return (.queueChanged(Int(queue)), nil)
        case .setQueueEnabled(let queue, let isEnabled):
            let index = try known(queue)
            queues[index].isEnabledByRequest = isEnabled
            return (.queueChanged(index), nil)
        case .getQueueBase(let queue):
            let index = try known(queue)
            guard queues[index].isStarted else { return (.none, baseReply(index)) }
            return (.stopQueues([index]), nil)
        default: preconditionFailure("\(request.code.name) is about something else")
        }
        return (.none, nil)
    }

    /// Ends what `stopQueues` began: for each of those queues, in their order, the entry of the available ring that
    /// would have been fetched next. Returns what the front-end waits for, if it does.
    public mutating func queuesStopped(at next: [UInt16]) -> Reply? {
        guard let stop = stopping, stop.queues.count == next.count else {
            preconditionFailure("\(next.count) queues stopped of \(stopping?.queues ?? [])")
        }
        stopping = nil
        for (index, next) in zip(stop.queues, next) {
            // It keeps what it was told, but for the kick descriptor, which starts it.
            queues[index].base = next
            queues[index].rings = nil
            queues[index].kick = nil
        }
        return stop.isForBase ? baseReply(stop.queues[0]) : stop.reply
    }

    private func baseReply(_ index: Int) -> Reply {
        var writer = PayloadWriter()
        writer.put(UInt32(index))
        writer.put(UInt32(queues[index].base))
        return Reply(to: .getQueueBase, payload: writer.bytes)
    }

    private mutating func start(_ index: Int, kick: EventDescriptor?) throws(ProtocolError)
        -> Effect
    {
        if queues[index].isStarted {
            queues[index].kick = kick
            return .queueChanged(index)
        }
        guard let size = queues[index].size else { throw .queue(index, .hasNoSize) }
        guard let addresses = queues[index].addresses else { throw .queue(index, .hasNoAddresses) }
        if let inflight, index >= inflight.queueCount || size > inflight.queueSize {
            throw .inflight(.queueTooLarge(index, size))
        }
        do throws(QueueFault) {
            queues[index].rings = try QueueRings(addresses, size: size, in: memory)
        } catch { throw .queue(index, error) }
        queues[index].kick = kick
        try checkLog()
        return .queueStarted(index)
    }

    /// Of a queue that runs, only the log may change.
    private mutating func setAddresses(
        _ addresses: QueueAddresses, of index: Int
    ) throws(ProtocolError) -> Effect {
        if queues[index].isStarted, let now = queues[index].addresses {
            let moved =
                now.descriptorTable != addresses.descriptorTable
                || now.availableRing != addresses.availableRing
                || now.usedRing != addresses.usedRing
            if moved { throw .queue(index, .isRunning(.setQueueAddresses)) }
        }
        queues[index].addresses = addresses
        try checkLog()
        return queues[index].isStarted ? .queueChanged(index) : .none
    }

    private func known(_ queue: UInt32) throws(ProtocolError) -> Int {
        guard queue < UInt32(queues.count) else {
            throw .queue(Int(queue), .outOfRange(limit: queues.count))
        }
        return Int(queue)
    }

    private func stopped(_ queue: UInt32, _ code: RequestCode) throws(ProtocolError) -> Int {
        let index = try known(queue)
        if queues[index].isStarted { throw .queue(index, .isRunning(code)) }
        return index
    }

    /// The descriptor that came with it; nil where it said that none did.
    private func event(
        of queue: UInt8, _ descriptors: inout ReceivedDescriptors
    ) throws(ProtocolError) -> EventDescriptor? {
        let index = try known(UInt32(queue))
        guard let descriptor = descriptors.take() else { return nil }
        return try EventDescriptor(descriptor, of: index)
    }
}
