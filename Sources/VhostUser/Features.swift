/// Feature bits of the device, which the guest's driver acknowledges through the front-end.
///
/// Bits 0 to 23 belong to the device type (VIRTIO 1.2, 5.2.3: block device), 24 and up to the transport and the rings
/// (VIRTIO 1.2, 6; `logAll` and `protocolFeatures`: QEMU docs/interop/vhost-user.rst).
public struct VirtioFeatures: OptionSet, Hashable, Sendable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// VIRTIO_BLK_F_SEG_MAX: the configuration says how many segments a request may have.
    public static let segmentLimit = VirtioFeatures(rawValue: 1 << 2)
    /// VIRTIO_BLK_F_BLK_SIZE
    public static let blockSize = VirtioFeatures(rawValue: 1 << 6)
    /// VIRTIO_BLK_F_FLUSH
    public static let flush = VirtioFeatures(rawValue: 1 << 9)
    /// VIRTIO_BLK_F_MQ: the configuration says how many queues there are.
    public static let multipleQueues = VirtioFeatures(rawValue: 1 << 12)
    /// VHOST_F_LOG_ALL: the back-end logs what it writes.
    public static let logAll = VirtioFeatures(rawValue: 1 << 26)
    /// VIRTIO_F_INDIRECT_DESC
    public static let indirectDescriptors = VirtioFeatures(rawValue: 1 << 28)
    /// VIRTIO_F_EVENT_IDX
    public static let eventIndex = VirtioFeatures(rawValue: 1 << 29)
    /// VHOST_USER_F_PROTOCOL_FEATURES
    public static let protocolFeatures = VirtioFeatures(rawValue: 1 << 30)
    /// VIRTIO_F_VERSION_1
    public static let version1 = VirtioFeatures(rawValue: 1 << 32)
    /// VIRTIO_F_ACCESS_PLATFORM: the driver goes through the DMA API of its kernel.
    public static let accessPlatform = VirtioFeatures(rawValue: 1 << 33)
}

/// Feature bits of the protocol, between front-end and back-end alone (vhost-user.rst, "Protocol features").
public struct ProtocolFeatures: OptionSet, Hashable, Sendable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    public static let multipleQueues = ProtocolFeatures(rawValue: 1 << 0)
    /// LOG_SHMFD: the dirty log is a file that both map.
    public static let sharedLog = ProtocolFeatures(rawValue: 1 << 1)
    /// REPLY_ACK: the front-end may ask for an answer to any request.
    public static let replyAcknowledge = ProtocolFeatures(rawValue: 1 << 3)
    /// BACKEND_REQ: the back-end has a channel for requests of its own.
    public static let backendRequests = ProtocolFeatures(rawValue: 1 << 5)
    public static let configuration = ProtocolFeatures(rawValue: 1 << 9)
    /// INFLIGHT_SHMFD: a file that both map says which requests are under way.
    public static let sharedInflight = ProtocolFeatures(rawValue: 1 << 12)
    /// CONFIGURE_MEM_SLOTS: regions of guest memory come and go one by one.
    public static let memorySlots = ProtocolFeatures(rawValue: 1 << 15)
    public static let status = ProtocolFeatures(rawValue: 1 << 16)

    /// What this back-end understands.
    public static let all: ProtocolFeatures = [
        .multipleQueues, .sharedLog, .replyAcknowledge, .backendRequests, .configuration,
        .sharedInflight, .memorySlots, .status,
    ]
}
