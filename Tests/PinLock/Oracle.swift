import GuestMemory
import Synchronization

@testable import PinLock

/// Who writes to which page, and which pages are private: kept apart from everything under test.
///
/// One word per watched page counts the writers and says whether the page is private; a writer and a conversion
/// change it in one atomic step each, so the second of the two to come sees the first.
final class Oracle {
    private static let isPrivate: UInt64 = 1 << 32

    private let watched: [UInt64]
    private let words: UnsafeMutablePointer<Atomic<UInt64>>
    /// Pages that were private and written to at once.
    let violations = Atomic(0)

    /// Watches these pages, which are all shared now.
    init(watching pages: Set<UInt64>) {
        watched = pages.sorted()
        words = .allocate(capacity: watched.count)
        for index in watched.indices { (words + index).initialize(to: Atomic(0)) }
    }

    deinit { words.deallocate() }

    private func forEachWord(_ range: PageRange, _ body: (borrowing Atomic<UInt64>) -> Bool) {
        for (index, page) in watched.enumerated() where range.contains(GFN(page)) {
            if !body(words[index]) { violations.add(1, ordering: .relaxed) }
        }
    }

    func beginWrite(_ range: PageRange) {
        forEachWord(range) {
            $0.add(1, ordering: .relaxed).oldValue & Self.isPrivate == 0
        }
    }

    func endWrite(_ range: PageRange) {
        forEachWord(range) {
            $0.subtract(1, ordering: .relaxed).oldValue & Self.isPrivate == 0
        }
    }

    func willCommit(_ range: PageRange, to state: PageState) {
        forEachWord(range) {
            switch state {
            case .private: $0.bitwiseOr(Self.isPrivate, ordering: .relaxed).oldValue == 0
            case .shared: $0.bitwiseAnd(~Self.isPrivate, ordering: .relaxed).oldValue != 0
            }
        }
    }

    var hooks: ConversionHooks {
        ConversionHooks(willCommit: { self.willCommit($0, to: $1) })
    }

    /// The first watched page that the table has otherwise.
    func firstDisagreement(with table: RMPTable) -> GFN? {
        for (index, page) in watched.enumerated() {
            let word = words[index].load(ordering: .relaxed)
            if (word & Self.isPrivate != 0) != (table.state(of: GFN(page)) == .private) {
                return GFN(page)
            }
        }
        return nil
    }
}

// The words are atomics, and last as long as the oracle.
extension Oracle: @unchecked Sendable {}
