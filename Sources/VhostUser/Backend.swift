import DmaLinux
import GuestMemory

/// The back-end's side of a vhost-user connection (QEMU docs/interop/vhost-user.rst) for a block device: which requests
/// are right when, and what is known after each.
///
/// It knows no socket and no device: a message goes in, an answer comes out, or an error that ends the connection.
/// After an error it is not to be used again; whatever it owned is closed and unmapped with it. What the device still
/// uses lives on in its copies of `memory`, `queues`, `inflight` and `dirtyLog`.
public struct Backend: ~Copyable, Sendable {
    public let device: BlockDevice
    /// What the front-end has acknowledged.
    public private(set) var features: VirtioFeatures = []
    public private(set) var protocolFeatures: ProtocolFeatures = []
    public private(set) var status: UInt8 = 0
    public internal(set) var memory = MemoryTable()
    public internal(set) var queues: [Queue]
    public internal(set) var inflight: InflightLog?
    public internal(set) var dirtyLog: DirtyLog?
    /// Kept open, since some front-ends need to give it; nothing is ever said there.
    private var backendChannel: FileDescriptor?
    /// The queues that are to be stopped, and what the front-end waits for then.
    var stopping: Stop?

    public init(_ device: BlockDevice) {
        self.device = device
        queues = Array(repeating: Queue(), count: device.queueCount)
    }

    /// Whether anything may be fetched from a queue: it is started and enabled, and what has to be logged can be.
    ///
    /// A queue is enabled from its start on where the front-end has not acknowledged the protocol's features, and else
    /// by SET_VRING_ENABLE (vhost-user.rst, "Ring states"). While the guest migrates, queues are started before their
    /// log is there.
    public borrowing func mayServe(_ queue: Int) -> Bool {
        queues[queue].isStarted
            && queues[queue].isEnabledByRequest ?? !features.contains(.protocolFeatures)
            && (!features.contains(.logAll) || dirtyLog != nil)
    }

    public var isRunning: Bool { queues.contains { $0.isStarted } }

    /// Carries out a request. While an answer's `stopQueues` is not done, there must be no other.
    public mutating func handle(_ message: consuming Message) throws(ProtocolError) -> Answer {
        precondition(stopping == nil, "queues \(stopping?.queues ?? []) are to be stopped first")
        var message = message
        let (request, code) = (message.request, message.request.code)
        if message.isReply { throw .replyFlag(code) }
        let expected = request.descriptorCounts
        guard expected.contains(message.descriptors.count) else {
            throw .descriptorCount(code, message.descriptors.count, expected: expected)
        }
        if let (feature, name) = code.neededFeature, !protocolFeatures.contains(feature) {
            throw .notAcknowledged(code, feature: name)
        }
        var (effect, reply) = try carryOut(request, &message.descriptors)
        if reply == nil, wantsAcknowledgement(message.needsReply) {
            var isDenied = false
            if case .denied = effect { isDenied = true }
            reply = Reply(to: code, isDenied ? 1 : 0)
        }
        if case .stopQueues(let queues) = effect {
            stopping = Stop(queues: queues, isForBase: code == .getQueueBase, reply: reply)
            reply = nil
        }
        return Answer(effect: effect, reply: reply)
    }

    /// What a front-end that waits is told before the connection ends, because of an error in `handle`; nil where it
    /// waits for nothing, or for something that there is not.
    public borrowing func refusal(of code: RequestCode, needsReply: Bool) -> Reply? {
        wantsAcknowledgement(needsReply) ? Reply(to: code, 1) : nil
    }

    private borrowing func wantsAcknowledgement(_ needsReply: Bool) -> Bool {
        needsReply && protocolFeatures.contains(.replyAcknowledge)
    }

    private mutating func carryOut(
        _ request: Request, _ descriptors: inout ReceivedDescriptors
    ) throws(ProtocolError) -> (Effect, Reply?) {
        let code = request.code
        switch request {
        case .getFeatures: return (.none, Reply(to: code, device.features.rawValue))
        case .getProtocolFeatures: return (.none, Reply(to: code, ProtocolFeatures.all.rawValue))
        case .getQueueCount: return (.none, Reply(to: code, UInt64(device.queueCount)))
        case .getMemorySlotLimit: return (.none, Reply(to: code, UInt64(MemoryTable.slotLimit)))
        case .getStatus: return (.none, Reply(to: code, UInt64(status)))
        // Neither changes anything: the second is recommended to be passed over.
        case .setOwner, .resetOwner: return (.none, nil)
        // An event for a log that nobody waits for, since it may be read at any time: closed.
        case .setLogDescriptor: return (.none, nil)
        case .setBackendChannel:
            backendChannel = descriptors.take()
            return (.none, nil)
        case .setFeatures(let features): return (try acknowledge(features), nil)
        case .setProtocolFeatures(let features):
            let unknown = features.subtracting(.all)
            guard unknown.isEmpty else { throw .protocolFeaturesNotOffered(unknown.rawValue) }
            protocolFeatures = features
            return (.none, nil)
        case .setStatus(let status): return (try setStatus(status), nil)
        case .getConfiguration(let access): return (.none, configuration(access))
        case .setConfiguration(let access): return (setConfiguration(access), nil)
        case .setMemoryTable, .addMemoryRegion, .removeMemoryRegion:
            return (try changeMemory(request, &descriptors), nil)
        case .setLogBase(let log):
            try setLog(log, &descriptors)
            return (.dirtyLogChanged, Reply(to: code, 0))
        case .getInflight(let asked): return (.none, try makeInflight(asked))
        case .setInflight(let inflight):
            try setInflight(inflight, &descriptors)
            return (.inflightChanged, nil)
        case .setQueueSize, .setQueueAddresses, .setQueueBase, .getQueueBase, .setKick, .setCall,
            .setError, .setQueueEnabled:
            return try changeQueue(request, &descriptors)
        }
    }

    // MARK: What was agreed on

    private mutating func acknowledge(
        _ acknowledged: VirtioFeatures
    ) throws(ProtocolError) -> Effect {
        let unknown = acknowledged.subtracting(device.features)
        guard unknown.isEmpty else { throw .featuresNotOffered(unknown.rawValue) }
        // Migration begins and ends while queues run; nothing else may change then.
        let changed = features.symmetricDifference(acknowledged)
        guard !isRunning || changed.isSubset(of: .logAll) else { throw .featuresWhileRunning }
        features = acknowledged
        // Before the next migration there is a new one.
        if !features.contains(.logAll) { dirtyLog = nil }
        try checkLog()
        return .featuresChanged
    }

    private mutating func setStatus(_ value: UInt64) throws(ProtocolError) -> Effect {
        guard let status = UInt8(exactly: value) else { throw .status(value) }
        self.status = status
        // The driver has reset the device. QEMU 7.2 says so before it asks where each queue stops, also where the guest
        // only pauses; so that is found out now.
        let started = queues.indices.filter { queues[$0].isStarted }
        return status == 0 && !started.isEmpty ? .stopQueues(started) : .statusChanged(status)
    }

    // MARK: The configuration

    private borrowing func configuration(_ access: ConfigurationAccess) -> Reply {
        guard let bytes = configured(access) else {
            // An answer without a payload says that there is none.
            return Reply(to: .getConfiguration, payload: [])
        }
        var writer = PayloadWriter()
        ConfigurationAccess(
            offset: access.offset, flags: access.flags, bytes: Array(bytes)
        ).put(to: &writer)
        return Reply(to: .getConfiguration, payload: writer.bytes)
    }

    /// No field can be written, since VIRTIO_BLK_F_CONFIG_WCE is not offered; a guest that comes from another host has
    /// to find what it had there.
    private borrowing func setConfiguration(_ access: ConfigurationAccess) -> Effect {
        guard access.isMigration else {
            return .denied("SET_CONFIG of a field that only the device writes")
        }
        guard let bytes = configured(access), bytes.elementsEqual(access.bytes) else {
            return .denied(
                "SET_CONFIG for a guest whose device was another: its configuration differs")
        }
        return .none
    }

    private borrowing func configured(_ access: ConfigurationAccess) -> ArraySlice<UInt8>? {
        let all = device.configuration
        let offset = Int(access.offset)
        guard offset <= all.count, access.bytes.count <= all.count - offset else { return nil }
        return all[offset..<offset + access.bytes.count]
    }
}
