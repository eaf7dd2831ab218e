import Guest
import GuestMemory
import Linux
import Synchronization
import Testing

/// A guest of small buffers and the free memory that every guest has.
func smallMap(
    devices: Int = 2, pagesPerRange: UInt64 = 4, ranges: Int = 4, misalignment: UInt64 = 0,
    pool: UInt64? = nil
) throws -> MemoryMap {
    try MemoryMap(
        devices: devices, pagesPerRange: PageCount(pagesPerRange), rangeCount: ranges,
        misalignment: PageCount(misalignment), pool: pool.map { PageCount($0) }, total: nil)
}

/// Sparse memory for the guest.
func memory(of map: MemoryMap) throws -> GuestView {
    GuestView(
        try SharedMapping.create(name: "guest-test", byteCount: Int(map.pages.bytes.rawValue)))
}

/// A hypervisor that keeps books of every page, refuses what makes no sense, and denies by a rule of the test.
final class RecordingHypervisor: Hypercalls {
    struct Call: Equatable, Sendable {
        let range: PageRange
        let toPrivate: Bool
        let due: UInt64
        let answer: PageStateChange
    }

    private struct Books {
        var shared: Set<UInt64> = []
        var calls: [Call] = []
    }

    private let books = Mutex(Books())
    private let denies: @Sendable (_ number: Int, _ range: PageRange, _ toPrivate: Bool) -> Bool

    /// A guest that has shared `shared`; `denies` is asked of the calls, counted from 0.
    init(
        shared: [PageRange] = [],
        denies: @escaping @Sendable (Int, PageRange, Bool) -> Bool = { _, _, _ in false }
    ) {
        self.denies = denies
        books.withLock { $0.shared = Self.pages(of: shared) }
    }

    static func pages(of ranges: [PageRange]) -> Set<UInt64> {
        Set(ranges.flatMap { $0.lower..<$0.upper })
    }

    var shared: Set<UInt64> { books.withLock { $0.shared } }
    var calls: [Call] { books.withLock { $0.calls } }
    var callCount: Int { books.withLock { $0.calls.count } }

    func changePageState(_ range: PageRange, toPrivate: Bool, due: UInt64) -> PageStateChange {
        books.withLock { books in
            let answer = answer(range, toPrivate, books)
            if answer == .done {
                let pages = range.lower..<range.upper
                if toPrivate {
                    books.shared.subtract(pages)
                } else {
                    books.shared.formUnion(pages)
                }
            }
            books.calls.append(
                Call(range: range, toPrivate: toPrivate, due: due, answer: answer))
            return answer
        }
    }

    private func answer(_ range: PageRange, _ toPrivate: Bool, _ books: Books) -> PageStateChange {
        for page in range.lower..<range.upper where books.shared.contains(page) != toPrivate {
            return .refused(GFN(page))
        }
        if denies(books.calls.count, range, toPrivate) { return .pinned(range.start) }
        return .done
    }
}
