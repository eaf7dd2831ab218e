import CLinux
import DmaLinux
import Glibc
import GuestMemory

/// How the bytes of a DMA get into guest memory.
public enum FillEngine: String, CaseIterable, BitwiseCopyable, Sendable {
    /// Non-temporal stores of the widest kind the processor has: past the caches, as a device's
    /// are.
    case nt
    /// A string instruction, `rep stosq`.
    ///
    /// `rep movsb` reads a source, which is the `copy` engine, and `rep stosb` carries one byte
    /// only. The processor runs all three in the same fast-string mode; stosq was measured to be as
    /// fast as stosb.
    case stosq
    /// The C library's memset, which carries one byte: see `pattern(of:)`.
    case memset
    /// `rep movsb` from a private buffer of 4 MiB, as a device copies out of its own memory.
    ///
    /// With a source in the last-level cache, `rep movsb` was measured to be faster than memcpy.
    case copy
    /// `pread` from a file in the page cache: the kernel brings the data, as it does for a device whose back-end reads a
    /// disk image.
    ///
    /// 4 MiB of it, like the source of `copy`, so that what is measured is the way through the kernel.
    case file

    /// Whether this processor has the instructions the engine is named after.
    public var isAvailable: Bool {
        #if arch(x86_64)
            true
        #else
            self == .memset || self == .copy || self == .file
        #endif
    }

    /// The word that a request of this stamp leaves in every 8 bytes it writes.
    ///
    /// The stamp itself; `memset` can only repeat a byte, which is never zero and is another one
    /// for each of 255 successive requests of a device.
    public func pattern(of stamp: Stamp) -> UInt64 {
        guard self == .memset else { return stamp.rawValue }
        let byte = (UInt64(stamp.generation) + 53 * UInt64(stamp.device)) % 255 + 1
        return byte * 0x0101_0101_0101_0101
    }
}

/// An engine ready to run: its instructions chosen, its source allocated. Lanes share it.
struct Filler: Sendable {
    private let engine: FillEngine
    private let fillNonTemporal: @convention(c) (UnsafeMutableRawPointer?, UInt64, Int) -> Void
    private let source: CopySource?
    private let file: FileSource?
    /// The same code for `clinux_fill_watched`; nil where no store is expected to fault.
    private let watched: clinux_filler?

    init(_ engine: FillEngine, expectsFaults: Bool = false) throws(SystemError) {
        precondition(engine.isAvailable, "this processor has no \(engine.rawValue) engine")
        self.engine = engine
        let nonTemporal: clinux_filler
        if clinux_has_avx512() {
            (fillNonTemporal, nonTemporal) = (clinux_fill_nt_avx512, CLINUX_FILL_NT_AVX512)
        } else if clinux_has_avx2() {
            (fillNonTemporal, nonTemporal) = (clinux_fill_nt_avx2, CLINUX_FILL_NT_AVX2)
        } else {
            (fillNonTemporal, nonTemporal) = (clinux_fill_nt_sse2, CLINUX_FILL_NT_SSE2)
        }
        source = engine == .copy ? CopySource() : nil
        file = engine == .file ? try FileSource() : nil
        let code: clinux_filler? =
            switch engine {
            case .nt: nonTemporal
            case .stosq: CLINUX_FILL_STOSQ
            case .memset: CLINUX_FILL_MEMSET
            case .copy: CLINUX_FILL_MOVSB
            // The kernel is told of a fault, not the process.
            case .file: nil
            }
        watched = expectsFaults ? code : nil
    }

    func prepare(_ stamp: Stamp, byteCount: UInt64) {
        source?.hold(engine.pattern(of: stamp), byteCount)
        file?.hold(engine.pattern(of: stamp), byteCount)
    }

    /// Fills whole lines, and begins at one; on return, a release store orders every byte before it.
    ///
    /// `nt` has ended with sfence. Fast-string stores are ordered before what follows the
    /// instruction (Intel SDM vol. 3A, "Fast-String Operation and Out-of-Order Stores"), and glibc
    /// fences where it goes past the caches.
    ///
    /// Returns where a store faulted, which everything below it did not; nil where none did.
    @inline(__always)
    func fill(
        _ start: UnsafeMutableRawPointer, byteCount: Int, stamp: Stamp
    ) -> UnsafeMutableRawPointer? {
        let word = engine.pattern(of: stamp)
        if let watched {
            guard engine == .copy else {
                return clinux_fill_watched(watched, start, word, nil, byteCount)
            }
            return source!.forEachPiece(of: byteCount, expecting: word) { done, piece, from in
                clinux_fill_watched(watched, start + done, word, from, piece)
            }
        }
        switch engine {
        case .nt: fillNonTemporal(start, word, byteCount)
        case .stosq: clinux_fill_rep_stosq(start, word, byteCount)
        case .memset: _ = Glibc.memset(start, Int32(word & 0xFF), byteCount)
        case .copy:
            _ = source!.forEachPiece(of: byteCount, expecting: word) { done, piece, from in
                clinux_copy_rep_movsb(start + done, from, piece)
                return nil
            }
        case .file: return file!.write(start, byteCount: byteCount)
        }
        return nil
    }

    /// Fills a part of a line, as `fill` does the whole of it: each word lies at a multiple of its size.
    func fillPart(
        _ start: UnsafeMutableRawPointer, byteCount: Int, stamp: Stamp
    ) -> UnsafeMutableRawPointer? {
        guard byteCount > 0 else { return nil }
        if let file { return file.write(start, byteCount: byteCount) }
        let word = engine.pattern(of: stamp)
        // One word more than a line: it may begin in the middle of the first.
        let words = InlineArray<9, UInt64>(repeating: word)
        return words.span.withUnsafeBytes { words in
            let from = words.baseAddress! + Int(UInt(bitPattern: start) % 8)
            guard watched == nil else {
                return clinux_fill_watched(CLINUX_FILL_MOVSB, start, word, from, byteCount)
            }
            clinux_copy_rep_movsb(start, from, byteCount)
            return nil
        }
    }
}

/// What a source of `limit` bytes has to hold for a request: its bytes and a word more, since they may begin anywhere within
/// the first; whole words.
func heldBytes(of byteCount: UInt64, at limit: Int) -> Int {
    Int(min((min(byteCount, UInt64(limit)) + 15) & ~7, UInt64(limit)))
}

/// The device's own memory, out of which the `copy` engine writes.
private final class CopySource {
    private static let byteCount = 4 << 20
    private let base: UnsafeMutableRawPointer
    private var held: UInt64 = 0

    init() {
        base = .allocate(byteCount: Self.byteCount, alignment: Int(pageSize))
    }

    deinit { base.deallocate() }

    /// As much as a request of so many bytes is copied out of.
    func hold(_ word: UInt64, _ byteCount: UInt64) {
        clinux_fill_rep_stosq(base, word, heldBytes(of: byteCount, at: Self.byteCount))
        held = word
    }

    /// Calls `body` with the offset and the length of each piece and with what to copy there, until it returns an
    /// address, which is returned.
    @inline(__always)
    func forEachPiece(
        of byteCount: Int, expecting word: UInt64,
        _ body: (Int, Int, UnsafeRawPointer) -> UnsafeMutableRawPointer?
    ) -> UnsafeMutableRawPointer? {
        precondition(held == word, "the copy source was not prepared for this request")
        var done = 0
        while done < byteCount {
            let piece = min(Self.byteCount, byteCount - done)
            if let fault = body(done, piece, base) { return fault }
            done += piece
        }
        return nil
    }
}

// Changed by `hold` only, between requests: lanes read it after the hand-over that
// follows, and the writer's thread gets them back before the next `hold`.
extension CopySource: @unchecked Sendable {}
