import DmaLinux
import DmaStatistics
import GuestMemory
import Synchronization
import Testing

@testable import PinLock

/// A conversion claims pages of a 2 MiB entry while another one splits it, as nearly at once as can be.
@Suite(.serialized) struct SplitTests {
    private static let region = range(0..<pagesPerLargeEntry)
    private static let rounds = 20_000

    private let table: RMPTable
    private let arena: Arena

    init() throws {
        arena = try Arena.create(pages: PageCount(Self.region.upper), entrySize: .large)
        table = arena.table
    }

    /// How often both had their claim: until that has been seen, the rounds are over, or the time.
    private func meetings(claiming other: PageRange, leaving state: PageState) throws -> Int {
        let (table, both) = (table, Counter())
        let rendezvous = Rendezvous()
        let hasSplit = Atomic(false)
        let isLast = Atomic(false)
        let deadline = Deadline.after(milliseconds: 3_000)
        try inParallel([
            {
                var turn = 0
                repeat {
                    rendezvous.meet(&turn)
                    let isClaimed = (try? table.claim(page(1), leaving: .shared)) != nil
                    if isClaimed { table.split(page(1)) }
                    hasSplit.store(isClaimed, ordering: .relaxed)
                    rendezvous.meet(&turn)
                } while !isLast.load(ordering: .relaxed)
            },
            {
                var random = SplitMix64(seed: 1)
                var turn = 0
                for round in 1...Self.rounds {
                    // Whole and shared again. What the other words hold does not count.
                    for number in Self.region.lower..<Self.region.upper {
                        let bits = number == 0 ? RMPTable.Bits.shared : 0
                        table.word(number).pointee.store(bits, ordering: .relaxed)
                    }
                    rendezvous.meet(&turn)
                    // Here, where the other thread cannot be about to read it.
                    let isOver = round == Self.rounds || both.value > 0 || deadline.hasPassed
                    isLast.store(isOver, ordering: .relaxed)
                    // A split writes the entries in order, and the head last.
                    let written = table.word(.random(in: 400..<512, using: &random))
                    waitUntil { written.pointee.load(ordering: .relaxed) != 0 }
                    // So that the head is at hand.
                    _ = table.word(0).pointee.load(ordering: .relaxed)
                    let isClaimed = (try? table.claim(other, leaving: state)) != nil
                    rendezvous.meet(&turn)
                    if isClaimed, hasSplit.load(ordering: .relaxed) { both.add(1) }
                    if isOver { break }
                }
            },
        ])
        return both.value
    }

    /// Its entry speaks for the whole region, or for its own page alone.
    @Test func nobodyElseClaimsAPageByTheHead() throws {
        #expect(try meetings(claiming: range(0..<8), leaving: .shared) == 0)
    }

    /// All pages are shared: nobody finds an entry that says otherwise.
    @Test func nobodyReadsAnEntryThatIsNotWrittenYet() throws {
        #expect(try meetings(claiming: range(2..<8), leaving: .private) == 0)
    }
}
