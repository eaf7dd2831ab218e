/// The other direction: a device that reads guest memory. It loads every line, into nothing but a sum.
public struct DmaReader: Sendable {
    /// All that was read, in words of eight bytes as they lie in memory, exclusive-or; so the loads cannot be left out, and
    /// whoever knows what lay there can tell that it was read.
    public private(set) var digest: UInt64 = 0

    public init() {}

    /// Reads bytes of any number, at any address. The guest may change them meanwhile: what was read is what is summed up.
    @inline(never)
    public mutating func read(_ bytes: UnsafeRawBufferPointer) {
        guard let start = bytes.baseAddress else { return }
        let head = min(
            Int(bitPattern: (0 &- UInt(bitPattern: start)) % UInt(lineByteCount)), bytes.count)
        let lines = (bytes.count - head) / lineByteCount
        let tail = head + lines * lineByteCount
        readBytes(start, 0..<head)
        var sum = SIMD8<UInt64>.zero
        for line in 0..<lines {
            sum ^= start.loadUnaligned(
                fromByteOffset: head + line * lineByteCount, as: SIMD8<UInt64>.self)
        }
        for index in sum.indices { digest ^= sum[index] }
        readBytes(start, tail..<bytes.count)
    }

    private mutating func readBytes(_ start: UnsafeRawPointer, _ offsets: Range<Int>) {
        for offset in offsets {
            let byte = UInt64(start.load(fromByteOffset: offset, as: UInt8.self))
            digest ^= byte << (8 * UInt64(UInt(bitPattern: start + offset) % 8))
        }
    }
}
