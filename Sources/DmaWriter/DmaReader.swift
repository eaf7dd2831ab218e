import CLinux
import GuestMemory

/// How a device gets bytes out of guest memory.
public enum ReadEngine: String, CaseIterable, BitwiseCopyable, Sendable {
    /// Loads of every line, into nothing but a sum.
    case load
    /// `rep movsb` to a private buffer of 4 MiB, as a device copies into its own memory.
    case copy
}

/// The other direction: a device that reads guest memory.
public struct DmaReader: Sendable {
    /// All that was loaded, in words of eight bytes as they lie in memory, exclusive-or; so the loads cannot be left out, and
    /// whoever knows what lay there can tell that it was read.
    public private(set) var digest: UInt64 = 0
    /// Where `copy` puts what it has read.
    let target: CopyTarget?

    public init(_ engine: ReadEngine = .load) {
        target = engine == .copy ? CopyTarget() : nil
    }

    /// Reads bytes of any number, at any address. The guest may change them meanwhile: what was read is what is summed up.
    @inline(__always)
    public mutating func read(_ bytes: UnsafeRawBufferPointer) {
        guard let target else { return load(bytes) }
        target.take(bytes)
    }

    @inline(never)
    private mutating func load(_ bytes: UnsafeRawBufferPointer) {
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

/// The device's own memory, into which the `copy` engine reads.
final class CopyTarget {
    private static let byteCount = 4 << 20
    private let base: UnsafeMutableRawPointer
    /// How much of it holds what was read last.
    private(set) var held = 0

    init() {
        base = .allocate(byteCount: Self.byteCount, alignment: Int(pageSize))
        clinux_fill_rep_stosq(base, 0, Self.byteCount)
    }

    deinit { base.deallocate() }

    /// What was read last: the end of it, where it was more than fits.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: held) }

    func take(_ bytes: UnsafeRawBufferPointer) {
        var done = 0
        while done < bytes.count {
            held = min(Self.byteCount, bytes.count - done)
            clinux_copy_rep_movsb(base, bytes.baseAddress! + done, held)
            done += held
        }
    }
}

// Whoever has the reader uses it, one thread at a time.
extension CopyTarget: @unchecked Sendable {}
