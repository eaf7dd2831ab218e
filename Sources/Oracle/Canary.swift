import DmaWriter
import GuestMemory

/// The hypervisor's side of the oracle: what fills a page while it is private, so that no write
/// goes unnoticed.
///
/// A 64-byte line holds the same 64-bit word eight times, another word for every line of every
/// page:
///
///     63           48 47                                 6 5       0
///     | magic 0xCA4E |                GFN                 |  line  |
///
/// The hypervisor stamps a page inside its conversion to private, once no device may touch it any
/// more and before the guest hears of it, and checks it inside the conversion back to shared and at
/// the end of a run. Plain loads and stores: a write that races with them is the violation that is
/// looked for, and shows in the words it leaves.
public enum Canary {
    private static let magic: UInt64 = 0xCA4E
    private static let lineCount = Int(pageSize) / lineByteCount

    /// The line's word. Bits of a GFN past 2^42, which no guest has, are dropped.
    static func word(_ gfn: GFN, line: Int) -> UInt64 {
        magic << 48 | (gfn.rawValue << 6 | UInt64(line)) & 0xFFFF_FFFF_FFFF
    }

    /// Fills the 4 KiB page at `page`, which has become private.
    public static func stamp(_ page: UnsafeMutableRawPointer, gfn: GFN) {
        for line in 0..<lineCount {
            page.storeBytes(
                of: SIMD8(repeating: word(gfn, line: line)),
                toByteOffset: line * lineByteCount, as: SIMD8<UInt64>.self)
        }
    }

    /// What has been written to the page since it was stamped; nil where nothing was.
    public static func damage(_ page: UnsafeRawPointer, gfn: GFN) -> Damage? {
        var differences = SIMD8<UInt64>.zero
        for line in 0..<lineCount {
            let found = page.loadUnaligned(
                fromByteOffset: line * lineByteCount, as: SIMD8<UInt64>.self)
            differences |= found ^ SIMD8(repeating: word(gfn, line: line))
        }
        return differences == .zero ? nil : inspect(page, gfn: gfn)
    }

    private static func inspect(_ page: UnsafeRawPointer, gfn: GFN) -> Damage? {
        let damaged = (0..<lineCount).filter {
            lineDiffers(at: page + $0 * lineByteCount, from: word(gfn, line: $0))
        }
        guard let first = damaged.first else { return nil }
        let words = damaged.lazy.flatMap { line in
            (0..<8).lazy.map { word in
                page.load(fromByteOffset: line * lineByteCount + word * 8, as: UInt64.self)
            }
        }
        let stamp = words.compactMap { Stamp(decoding: $0) }.first
        return Damage(gfn: gfn, lines: damaged.count, firstLine: first, stamp: stamp)
    }

    /// A private page that somebody wrote to.
    public struct Damage: Equatable, Sendable, CustomStringConvertible {
        public let gfn: GFN
        /// How many of the page's 64 lines have changed, and which is the first.
        public let lines: Int
        public let firstLine: Int
        /// The culprit, where the first stamp among the damage names it; the `memset` engine leaves
        /// none.
        public let stamp: Stamp?

        public var description: String {
            let culprit = stamp.map { " by \($0)" } ?? ""
            return "\(gfn): written while private\(culprit), \(lines) of 64 lines from \(firstLine)"
        }
    }
}
