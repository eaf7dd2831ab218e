/// The requests of a front-end, by their numbers (vhost-user.rst, "Front-end message types").
public enum RequestCode: UInt32, CaseIterable, Sendable {
    case getFeatures = 1
    case setFeatures = 2
    case setOwner = 3
    case resetOwner = 4
    case setMemoryTable = 5
    case setLogBase = 6
    case setLogDescriptor = 7
    case setQueueSize = 8
    case setQueueAddresses = 9
    case setQueueBase = 10
    case getQueueBase = 11
    case setKick = 12
    case setCall = 13
    case setError = 14
    case getProtocolFeatures = 15
    case setProtocolFeatures = 16
    case getQueueCount = 17
    case setQueueEnabled = 18
    case sendRARP = 19
    case setMTU = 20
    case setBackendChannel = 21
    case iotlb = 22
    case setQueueEndianness = 23
    case getConfiguration = 24
    case setConfiguration = 25
    case createCryptoSession = 26
    case closeCryptoSession = 27
    case postcopyAdvise = 28
    case postcopyListen = 29
    case postcopyEnd = 30
    case getInflight = 31
    case setInflight = 32
    case setGPUSocket = 33
    case resetDevice = 34
    case queueKick = 35
    case getMemorySlotLimit = 36
    case addMemoryRegion = 37
    case removeMemoryRegion = 38
    case setStatus = 39
    case getStatus = 40

    /// The name that the specification has for it, without VHOST_USER_.
    public var name: String {
        switch self {
        case .getFeatures: "GET_FEATURES"
        case .setFeatures: "SET_FEATURES"
        case .setOwner: "SET_OWNER"
        case .resetOwner: "RESET_OWNER"
        case .setMemoryTable: "SET_MEM_TABLE"
        case .setLogBase: "SET_LOG_BASE"
        case .setLogDescriptor: "SET_LOG_FD"
        case .setQueueSize: "SET_VRING_NUM"
        case .setQueueAddresses: "SET_VRING_ADDR"
        case .setQueueBase: "SET_VRING_BASE"
        case .getQueueBase: "GET_VRING_BASE"
        case .setKick: "SET_VRING_KICK"
        case .setCall: "SET_VRING_CALL"
        case .setError: "SET_VRING_ERR"
        case .getProtocolFeatures: "GET_PROTOCOL_FEATURES"
        case .setProtocolFeatures: "SET_PROTOCOL_FEATURES"
        case .getQueueCount: "GET_QUEUE_NUM"
        case .setQueueEnabled: "SET_VRING_ENABLE"
        case .sendRARP: "SEND_RARP"
        case .setMTU: "NET_SET_MTU"
        case .setBackendChannel: "SET_BACKEND_REQ_FD"
        case .iotlb: "IOTLB_MSG"
        case .setQueueEndianness: "SET_VRING_ENDIAN"
        case .getConfiguration: "GET_CONFIG"
        case .setConfiguration: "SET_CONFIG"
        case .createCryptoSession: "CREATE_CRYPTO_SESSION"
        case .closeCryptoSession: "CLOSE_CRYPTO_SESSION"
        case .postcopyAdvise: "POSTCOPY_ADVISE"
        case .postcopyListen: "POSTCOPY_LISTEN"
        case .postcopyEnd: "POSTCOPY_END"
        case .getInflight: "GET_INFLIGHT_FD"
        case .setInflight: "SET_INFLIGHT_FD"
        case .setGPUSocket: "GPU_SET_SOCKET"
        case .resetDevice: "RESET_DEVICE"
        case .queueKick: "VRING_KICK"
        case .getMemorySlotLimit: "GET_MAX_MEM_SLOTS"
        case .addMemoryRegion: "ADD_MEM_REG"
        case .removeMemoryRegion: "REM_MEM_REG"
        case .setStatus: "SET_STATUS"
        case .getStatus: "GET_STATUS"
        }
    }

    /// The feature of the protocol that has to be acknowledged before; nil where none has to be.
    var neededFeature: (ProtocolFeatures, name: String)? {
        switch self {
        case .setLogBase: (.sharedLog, "LOG_SHMFD")
        case .getQueueCount: (.multipleQueues, "MQ")
        case .setBackendChannel: (.backendRequests, "BACKEND_REQ")
        case .getConfiguration, .setConfiguration: (.configuration, "CONFIG")
        case .getInflight, .setInflight: (.sharedInflight, "INFLIGHT_SHMFD")
        case .getMemorySlotLimit, .addMemoryRegion, .removeMemoryRegion:
            (.memorySlots, "CONFIGURE_MEM_SLOTS")
        case .setStatus, .getStatus: (.status, "STATUS")
        default: nil
        }
    }
}
