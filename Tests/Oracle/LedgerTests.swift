import DmaLinux
import Glibc
import GuestMemory
import Synchronization
import Testing

@testable import Oracle

@Suite struct LedgerTests {
    typealias Record = (ConversionLedger, UInt64, PageRange) -> Void

    /// Two chunks of 2 MiB and a part of a third.
    private static let pages = PageCount(1_100)

    private static func ledger(pages: PageCount = pages) throws -> ConversionLedger {
        let byteCount = ConversionLedger.byteCount(pages: pages)
        return ConversionLedger(
            try SharedMapping.create(name: "ledger", byteCount: byteCount), pages: pages)
    }

    /// What a check of the range should answer, given the ranges converted since the mark.
    private static func expected(
        _ converted: ArraySlice<PageRange>, in range: PageRange
    ) -> ConversionLedger.Conversions? {
        let pages = (range.lower..<range.upper).filter { page in
            converted.contains { $0.contains(GFN(page)) }
        }
        return pages.first.map {
            .init(pages: PageCount(UInt64(pages.count)), first: GFN($0))
        }
    }

    /// How often a ledger that keeps its numbers with `record` answers wrongly.
    private static func wrongAnswers(_ record: Record) throws -> Int {
        let ledger = try ledger()
        let conversions = [(0, 1), (511, 2), (600, 1), (3, 700), (1_099, 1), (0, 1_100), (600, 1)]
            .map { PageRange(start: $0.0, count: $0.1) }
        let questions = [
            (0, 1), (0, 512), (1, 511), (510, 2), (512, 512), (511, 2), (600, 1), (599, 3),
            (601, 400), (1_024, 76), (1_099, 1), (0, 1_100),
        ].map { PageRange(start: $0.0, count: $0.1) }
        var marks = [ledger.mark()]
        var wrong = 0
        for (index, conversion) in conversions.enumerated() {
            record(ledger, ledger.nextNumber(), conversion)
            marks.append(ledger.mark())
            for (start, mark) in marks.enumerated() {
                for question in questions {
                    let answer = ledger.pagesConverted(in: question, since: mark)
                    let expected = expected(conversions[start..<index + 1], in: question)
                    if answer != expected { wrong += 1 }
                }
            }
        }
        // A converter that took its number first is overtaken by one of another page of the chunk.
        let early = ledger.nextNumber()
        let mark = ledger.mark()
        record(ledger, ledger.nextNumber(), PageRange(start: 700, count: 1))
        record(ledger, early, PageRange(start: 701, count: 1))
        let answer = ledger.pagesConverted(in: PageRange(start: 512, count: 512), since: mark)
        return wrong + (answer == .init(pages: PageCount(1), first: GFN(700)) ? 0 : 1)
    }

    @Test func answersAsTheConversionsWere() throws {
        #expect(try Self.wrongAnswers { $0.record($1, for: $2) } == 0)
    }

    /// Ledgers that leave out a step give wrong answers to the same questions.
    @Test func brokenTwinsAreCaught() throws {
        let raise: Record = { ledger, number, range in
            for chunk in ConversionLedger.chunks(of: range) {
                _ = ledger.chunkWord(chunk).pointee.max(number, ordering: .releasing)
            }
        }
        let store: Record = { ledger, number, range in
            for page in range.lower..<range.upper {
                ledger.pageWord(page).pointee.store(number, ordering: .relaxed)
            }
        }
        let firstChunkOnly: Record = { ledger, number, range in
            store(ledger, number, range)
            let chunk = range.lower / pagesPerLargeEntry
            _ = ledger.chunkWord(chunk).pointee.max(number, ordering: .releasing)
        }
        let lastNumberInsteadOfMaximum: Record = { ledger, number, range in
            store(ledger, number, range)
            for chunk in ConversionLedger.chunks(of: range) {
                ledger.chunkWord(chunk).pointee.store(number, ordering: .releasing)
            }
        }
        #expect(try Self.wrongAnswers(raise) > 0, "no page store")
        #expect(try Self.wrongAnswers(store) > 0, "no chunk raise")
        #expect(try Self.wrongAnswers(firstChunkOnly) > 0)
        #expect(try Self.wrongAnswers(lastNumberInsteadOfMaximum) > 0)
    }

    /// A conversion of pinned pages is seen, one of the past or of other pages is not.
    @Test func aPinsMarkDividesPastFromPresent() throws {
        let ledger = try Self.ledger()
        let range = PageRange(start: 500, count: 100)
        #expect(ledger.mark() == .start)
        #expect(ledger.pagesConverted(in: range, since: .start) == nil)
        ledger.willBecomePrivate(PageRange(start: 490, count: 20))
        let mark = ledger.mark()
        #expect(ledger.pagesConverted(in: range, since: mark) == nil)
        ledger.willBecomePrivate(PageRange(start: 499, count: 1))
        #expect(ledger.pagesConverted(in: range, since: mark) == nil)
        ledger.willBecomePrivate(PageRange(start: 598, count: 20))
        let expected = ConversionLedger.Conversions(pages: PageCount(2), first: GFN(598))
        #expect(ledger.pagesConverted(in: range, since: mark) == expected)
        #expect(ledger.pagesConverted(in: range, since: ledger.mark()) == nil)
        #expect(
            ledger.pagesConverted(in: range, since: .start)
                == .init(pages: PageCount(12), first: GFN(500)))
    }

    /// The hypervisor and a device map it at different addresses.
    @Test func isPositionIndependent() throws {
        let byteCount = ConversionLedger.byteCount(pages: Self.pages)
        let mapping = try SharedMapping.create(name: "ledger", byteCount: byteCount)
        let descriptor = FileDescriptor(owning: dup(mapping.fileDescriptor))
        let other = try SharedMapping(mapping: descriptor, byteCount: byteCount, name: "ledger")
        let hypervisor = ConversionLedger(mapping, pages: Self.pages)
        let device = ConversionLedger(other, pages: Self.pages)
        let mark = device.mark()
        hypervisor.willBecomePrivate(PageRange(start: 1_099, count: 1))
        #expect(mapping.base != other.base)
        #expect(
            device.pagesConverted(in: PageRange(start: 0, count: 1_100), since: mark)
                == .init(pages: PageCount(1), first: GFN(1_099)))
    }

    @Test(arguments: [1, 511, 512, 513, 4_096, 4_097, pagesPerGiB, PageRange.frameLimit])
    func layoutHasNoOverlap(pages: UInt64) throws {
        let byteCount = ConversionLedger.byteCount(pages: PageCount(pages))
        let ledger = try Self.ledger(pages: PageCount(pages))
        let start = UnsafeRawPointer(ledger.sequence)
        let lastChunk = UnsafeRawPointer(ledger.chunkWord((pages - 1) / pagesPerLargeEntry))
        #expect(UnsafeRawPointer(ledger.chunkWord(0)) - start == 64)
        #expect(UnsafeRawPointer(ledger.pageWord(0)) - lastChunk >= 8)
        #expect(UnsafeRawPointer(ledger.pageWord(0)) - lastChunk <= 64)
        #expect(UnsafeRawPointer(ledger.pageWord(pages - 1)) + 8 - start == byteCount)
    }

    @Test func takesTwoMebibytesPerGiB() {
        let byteCount = ConversionLedger.byteCount(pages: PageCount(pagesPerGiB))
        #expect(byteCount == 2 << 20 | 4_096 + 64)
    }

    /// Converters of different pages of one chunk lose no number, and the chunk keeps the largest.
    @Test func concurrentConvertersKeepTheMaximum() throws {
        let ledger = try Self.ledger()
        let converters: UInt64 = 4
        let rounds: UInt64 = 20_000
        let start = ledger.mark()
        try inParallel(Int(converters)) { index in
            for round in 0..<rounds {
                let page = UInt64(index) + round % 128 * converters
                ledger.willBecomePrivate(PageRange(start: page, count: 1))
            }
        }
        let last = (0..<pagesPerLargeEntry).map {
            ledger.pageWord($0).pointee.load(ordering: .relaxed)
        }
        #expect(ledger.sequence.pointee.load(ordering: .relaxed) == converters * rounds)
        #expect(ledger.chunkWord(0).pointee.load(ordering: .relaxed) == converters * rounds)
        #expect(last.max() == converters * rounds)
        #expect(Set(last).count == last.count)
        let whole = PageRange(start: 0, count: pagesPerLargeEntry)
        #expect(
            ledger.pagesConverted(in: whole, since: start)
                == .init(pages: PageCount(pagesPerLargeEntry), first: GFN(0)))
    }

    @Test func refusesWhatIsOutside() async {
        await #expect(processExitsWith: .failure) {
            try Self.ledger().willBecomePrivate(PageRange(start: 1_099, count: 2))
        }
        await #expect(processExitsWith: .failure) {
            let ledger = try Self.ledger()
            let range = PageRange(start: 1_100, count: 1)
            _ = ledger.pagesConverted(in: range, since: ledger.mark())
        }
        await #expect(processExitsWith: .failure) {
            let mapping = try SharedMapping.create(name: "ledger", byteCount: 4096)
            _ = ConversionLedger(mapping, pages: PageCount(1_100))
        }
    }
}

/// Runs `body` on `count` threads at once, each with its index, and waits for all.
private func inParallel(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) throws {
    guard count > 0 else { return }
    let thread = try WorkerThread(name: "parallel") { body(count - 1) }
    try inParallel(count - 1, body)
    thread.join()
}
