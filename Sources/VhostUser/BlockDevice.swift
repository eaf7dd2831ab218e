/// What a back-end offers: a block device of VIRTIO 1.2, 5.2.
public struct BlockDevice: Hashable, Sendable {
    /// The capacity counts sectors of 512 bytes, whatever the block size (5.2.4).
    public static let sectorSize: UInt64 = 512
    /// The front-end may ask for so many bytes of configuration (QEMU's VHOST_USER_MAX_CONFIG_SIZE); those behind the
    /// fields that there are read as zero.
    public static let configurationLimit = 256

    public let capacityInSectors: UInt64
    /// Segments that one request may have, besides header and status byte.
    public let segmentLimit: UInt32
    /// The logical block size, in bytes.
    public let blockSize: UInt32
    public let queueCount: Int
    /// Whether the guest is to go through the DMA API, as a confidential one has to (VIRTIO_F_ACCESS_PLATFORM).
    public let offersAccessPlatform: Bool

    /// `queueCount` is 1 to 256: vhost-user numbers the queues of a kick by eight bits. `blockSize` is a power of two
    /// from 512 on.
    public init(
        capacityInSectors: UInt64, segmentLimit: UInt32 = 126, blockSize: UInt32 = 512,
        queueCount: Int = 1, offersAccessPlatform: Bool = false
    ) {
        precondition((1...256).contains(queueCount), "a back-end of \(queueCount) queues")
        precondition(
            blockSize >= 512 && blockSize & (blockSize - 1) == 0, "blocks of \(blockSize) bytes")
        self.capacityInSectors = capacityInSectors
        self.segmentLimit = segmentLimit
        self.blockSize = blockSize
        self.queueCount = queueCount
        self.offersAccessPlatform = offersAccessPlatform
    }

    public var features: VirtioFeatures {
        var features: VirtioFeatures = [
            .version1, .indirectDescriptors, .eventIndex, .segmentLimit, .blockSize, .flush,
            .multipleQueues, .logAll, .protocolFeatures,
        ]
        if offersAccessPlatform { features.insert(.accessPlatform) }
        return features
    }

    /// `struct virtio_blk_config` (5.2.4), little-endian: what the offered features give a meaning to, and zeroes.
    public var configuration: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Self.configurationLimit)
        func put(_ value: some FixedWidthInteger, at offset: Int) {
            withUnsafeBytes(of: value.littleEndian) { word in
                for (index, byte) in word.enumerated() { bytes[offset + index] = byte }
            }
        }
        put(capacityInSectors, at: 0)
        put(segmentLimit, at: 12)
        put(blockSize, at: 20)
        put(UInt16(queueCount), at: 34)
        return bytes
    }
}
