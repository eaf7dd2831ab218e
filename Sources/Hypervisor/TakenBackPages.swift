import GuestMemory
import Synchronization

/// Pages that the hypervisor has made shared again against the guest's will, until the guest hears of it.
package final class TakenBackPages: Sendable {
    private struct Books {
        var pages: Set<GFN> = []
        package var found: UInt64 = 0
    }

    private let books = Mutex(Books())
    /// Whether there may be any: asked for each conversion, which is most often the only question.
    private let count = Atomic(0)

    func insert(_ range: PageRange) {
        books.withLock { books in
            for page in range.lower..<range.upper { books.pages.insert(GFN(page)) }
            count.store(books.pages.count, ordering: .releasing)
        }
    }

    /// The first page of the range that the guest does not know to be shared; all of them are known from now on.
    func find(in range: PageRange) -> GFN? {
        guard count.load(ordering: .acquiring) != 0 else { return nil }
        return books.withLock { books in
            let known = books.pages.filter {
                range.contains(PageRange(start: $0.rawValue, count: 1))
            }
            books.pages.subtract(known)
            books.found += UInt64(known.count)
            count.store(books.pages.count, ordering: .releasing)
            return known.min()
        }
    }

    /// How many the guest has found so.
    package var found: UInt64 { books.withLock { $0.found } }
}
