import DmaLinux
import GuestMemory
import Synchronization

/// The device's side of the oracle: when each page was last converted to private, kept by the
/// hypervisor.
///
/// Every conversion to private takes the next number of one sequence. A device notes the sequence
/// once it holds its pin (`mark`), and after its write, before the unpin, asks whether a page of
/// the request bears a larger number.
///
/// Why a correct strategy is never accused: a pin succeeds only if its pages are shared, and it
/// synchronises with the conversion back to shared that made each so. That one came after the
/// conversion to private before it, whose number is therefore in the sequence that `mark` reads.
/// The next one is numbered once no pin is left.
///
/// Why a wrong one is caught: a conversion that is numbered while the pin is held takes a number
/// above the mark. What escapes is a conversion numbered just before the mark that commits just
/// after it, and one whose number a check overtakes while its own last stores still wait in the
/// store buffer: their writes meet the `Canary`.
///
/// Layout, in 64-bit words of shared memory, zero = never converted: the sequence, on a cache line
/// of its own; for each 2 MiB the largest number among its pages, rounded up to whole lines; for
/// each page the number of its last conversion. Only 2 MiB whose number is above the mark are
/// looked at page by page, so that a check of 1 GiB is 512 loads.
public struct ConversionLedger: Sendable {
    /// A point of the sequence: conversions numbered up to it are in the past.
    public struct Mark: Hashable, Sendable {
        /// Before the first conversion: since then means ever.
        public static let start = Mark(number: 0)

        fileprivate let number: UInt64
    }

    /// Pages that became private since a mark.
    public struct Conversions: Hashable, Sendable {
        public let pages: PageCount
        public let first: GFN
    }

    typealias Word = UnsafeMutablePointer<Atomic<UInt64>>

    private static let wordsPerLine: UInt64 = 8
    private let mapping: SharedMapping
    public let pages: PageCount

    /// Bytes of shared memory that a ledger of `pages` takes: 2 MiB and 4 KiB for each GiB, and a
    /// line.
    public static func byteCount(pages: PageCount) -> Int {
        Int(firstPageWord(pages) + pages.rawValue) * MemoryLayout<UInt64>.stride
    }

    /// The ledger of a guest of `pages` in a mapping of at least `byteCount(pages:)`, of zeros or
    /// in use already.
    public init(_ mapping: SharedMapping, pages: PageCount) {
        precondition(pages.rawValue <= PageRange.frameLimit, "no guest has \(pages)")
        precondition(
            mapping.byteCount >= Self.byteCount(pages: pages),
            "\(mapping.byteCount) bytes are too few for a ledger of \(pages)")
        self.mapping = mapping
        self.pages = pages
    }

    /// Hypervisor: numbers a conversion to private, after the point where it can still be refused
    /// and before it commits.
    ///
    /// No pin is held on the range then, and none is granted before the pages are shared again.
    /// Conversions of the same page follow one another; those of other pages may run at the same
    /// time.
    public func willBecomePrivate(_ range: PageRange) {
        record(nextNumber(), for: range)
    }

    /// Device: the present, once a pin has been granted and before it is used (acquire).
    ///
    /// A mark older than a pin would accuse a correct strategy. A younger one overlooks what was
    /// converted in between, so one mark for several pins follows the last of them closely.
    public func mark() -> Mark { Mark(number: sequence.pointee.load(ordering: .acquiring)) }

    /// Device: the pages of the range that became private since the mark; nil where none did.
    public func pagesConverted(in range: PageRange, since mark: Mark) -> Conversions? {
        precondition(range.upper <= pages.rawValue, "\(range) is outside a guest of \(pages)")
        var count: UInt64 = 0
        var first: GFN?
        for chunk in Self.chunks(of: range) {
            let latest = chunkWord(chunk).pointee.load(ordering: .acquiring)
            guard latest > mark.number else { continue }
            let lower = max(chunk * pagesPerLargeEntry, range.lower)
            let upper = min((chunk + 1) * pagesPerLargeEntry, range.upper)
            for page in lower..<upper
            where pageWord(page).pointee.load(ordering: .relaxed) > mark.number {
                count += 1
                first = first ?? GFN(page)
            }
        }
        return first.map { Conversions(pages: PageCount(count), first: $0) }
    }

    /// Relaxed: what makes a number visible to a later pin is the lock between them, which the pin
    /// acquires.
    func nextNumber() -> UInt64 {
        sequence.pointee.wrappingAdd(1, ordering: .relaxed).newValue
    }

    /// Pages first, then chunks (release): whoever sees a chunk's number sees its pages'.
    func record(_ number: UInt64, for range: PageRange) {
        precondition(range.upper <= pages.rawValue, "\(range) is outside a guest of \(pages)")
        for page in range.lower..<range.upper {
            pageWord(page).pointee.store(number, ordering: .relaxed)
        }
        for chunk in Self.chunks(of: range) {
            // The maximum, since a converter of other pages there may have overtaken this one.
            _ = chunkWord(chunk).pointee.max(number, ordering: .releasing)
        }
    }

    static func chunks(of range: PageRange) -> ClosedRange<UInt64> {
        range.lower / pagesPerLargeEntry...(range.upper - 1) / pagesPerLargeEntry
    }

    private static func firstPageWord(_ pages: PageCount) -> UInt64 {
        let chunks = (pages.rawValue + pagesPerLargeEntry - 1) / pagesPerLargeEntry
        let lines = 1 + (chunks + wordsPerLine - 1) / wordsPerLine
        return lines * wordsPerLine
    }

    var sequence: Word { word(0) }
    func chunkWord(_ chunk: UInt64) -> Word { word(Self.wordsPerLine + chunk) }
    func pageWord(_ page: UInt64) -> Word { word(Self.firstPageWord(pages) + page) }

    private func word(_ index: UInt64) -> Word {
        (mapping.base + Int(index) * MemoryLayout<UInt64>.stride)
            .assumingMemoryBound(to: Atomic<UInt64>.self)
    }
}
