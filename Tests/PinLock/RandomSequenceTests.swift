import GuestMemory
import Testing

@testable import PinLock

@Suite struct RandomSequenceTests {
    private let gib = pagesPerGiB

    /// Ranges across the borders of GiBs and of 2 MiB entries.
    @Test(arguments: Candidate.safe, [EntrySize.small, .large])
    func acrossBorders(_ candidate: Candidate, entrySize: EntrySize) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let pages = 2 * gib + 700
            let strategy = try make(Strategy.self, pages: pages, entrySize: entrySize)
            var sequence = RandomSequence(
                strategy, borders: [gib, 2 * gib], longest: gib + 700, seed: 2021)
            try sequence.share(range(0..<pages))
            try sequence.run(steps: 600)
            #expect(sequence.pinned > 20 && sequence.converted > 20)
        }
        try check(candidate.type)
    }

    /// Pins of several whole GiBs, in the last four of the largest guest there is.
    @Test(arguments: Candidate.safe)
    func theEndOfSixteenTiB(_ candidate: Candidate) throws {
        func check<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let end = PageRange.frameLimit
            let strategy = try make(Strategy.self, pages: end)
            var sequence = RandomSequence(
                strategy, borders: [end - 4 * gib, end - 3 * gib, end - 2 * gib, end - gib],
                longest: 4 * gib + 512, seed: 16)
            try sequence.share(range(end - 4 * gib..<end))
            try sequence.run(steps: 120)
            #expect(sequence.pinned > 10 && sequence.converted > 5)
        }
        try check(candidate.type)
    }
}
