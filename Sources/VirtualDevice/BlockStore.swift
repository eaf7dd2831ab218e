import DmaLinux
import Glibc
import GuestMemory
import VhostUser
import Virtqueue

/// Where the data of a block device is, if anywhere. What moves lies in guest memory, under a pin.
protocol BlockStore {
    /// Puts what the store has from byte `offset` on into guest memory: how many bytes, fewer where it fails.
    func read(into bytes: UnsafeMutableRawBufferPointer, at offset: UInt64) -> Int
    /// Keeps what guest memory has from byte `offset` on: how many bytes, fewer where it fails.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) -> Int
    /// What was written stays written; false where that cannot be promised.
    func flush() -> Bool
}

/// Says that all was done, and touches nothing.
struct NullStore: BlockStore {
    func read(into bytes: UnsafeMutableRawBufferPointer, at offset: UInt64) -> Int { bytes.count }
    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) -> Int { bytes.count }
    func flush() -> Bool { true }
}

/// Memory that outlives the device's process: a request that died in it is done again by the next.
struct MemoryStore: BlockStore {
    private let mapping: SharedMapping

    /// Requests have been held against its size before.
    init(_ mapping: SharedMapping) { self.mapping = mapping }

    func read(into bytes: UnsafeMutableRawBufferPointer, at offset: UInt64) -> Int {
        memcpy(bytes.baseAddress!, mapping.base + Int(offset), bytes.count)
        return bytes.count
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) -> Int {
        memcpy(mapping.base + Int(offset), bytes.baseAddress!, bytes.count)
        return bytes.count
    }

    func flush() -> Bool { true }
}

/// A file, or a block device of the host: the kernel moves the data, on the device's behalf (preadv(2)).
struct FileStore: BlockStore {
    private let file: Int32

    /// The descriptor stays the caller's.
    init(_ file: Int32) { self.file = file }

    func read(into bytes: UnsafeMutableRawBufferPointer, at offset: UInt64) -> Int {
        all(bytes.count) { done in
            var part = iovec(iov_base: bytes.baseAddress! + done, iov_len: bytes.count - done)
            return preadv(file, &part, 1, off_t(offset) + off_t(done))
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) -> Int {
        all(bytes.count) { done in
            var part = iovec(
                iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress! + done),
                iov_len: bytes.count - done)
            return pwritev(file, &part, 1, off_t(offset) + off_t(done))
        }
    }

    func flush() -> Bool { uninterrupted { fdatasync(file) } == 0 }

    private func all(_ count: Int, _ call: (Int) -> Int) -> Int {
        var done = 0
        while done < count {
            let moved = uninterrupted { call(done) }
            guard moved > 0 else { return done }
            done += moved
        }
        return done
    }
}

extension DeviceRequest {
    /// Whether the request is whole sectors within so many (VIRTIO 1.2, 5.2.6.1 and 5.2.6.2).
    func fits(sectors: UInt64) -> Bool {
        guard type == .in || type == .out else { return true }
        let (bytes, rest) = byteCount.rawValue.quotientAndRemainder(
            dividingBy: BlockDevice.sectorSize)
        return rest == 0 && sector <= sectors && bytes <= sectors - sector
    }
}
