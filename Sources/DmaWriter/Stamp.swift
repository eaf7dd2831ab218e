/// What a DMA leaves in every 64-byte line it writes: which device wrote it, and in which request.
///
/// A line holds the same 64-bit word eight times:
///
///     63           48 47           32 31                              0
///     | magic 0xD51A |    device     | generation, its low 32 bits    |
///
/// The magic's two bytes differ from each other and from those of `Canary`, so that no stamp is a
/// canary's word, zero (memory never written) or one byte repeated (what the `memset` engine
/// leaves).
public struct Stamp: Hashable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    private static let magic: UInt64 = 0xD51A

    /// Keeps the low 32 bits of the generation, which is the guest's to choose.
    public init(device: UInt16, generation: UInt64) {
        rawValue = Self.magic << 48 | UInt64(device) << 32 | generation & 0xFFFF_FFFF
    }

    /// The stamp a word found in memory stands for; nil where it is none.
    public init?(decoding word: UInt64) {
        guard word >> 48 == Self.magic else { return nil }
        rawValue = word
    }

    public var device: UInt16 { UInt16(truncatingIfNeeded: rawValue >> 32) }
    public var generation: UInt32 { UInt32(truncatingIfNeeded: rawValue) }

    public var description: String { "device \(device), request \(generation)" }
}

/// Bytes in a cache line: what a stamp fills, and the granule of a write.
package let lineByteCount = 64

/// Whether any of the line's eight words is not `word`.
@inline(__always)
package func lineDiffers(at start: UnsafeRawPointer, from word: UInt64) -> Bool {
    start.loadUnaligned(as: SIMD8<UInt64>.self) != SIMD8(repeating: word)
}
