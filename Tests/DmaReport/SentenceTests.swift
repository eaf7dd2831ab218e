import Testing

@testable import DmaReport

@Suite struct SentenceTests {
    private let perpage = Row.measured("perpage", pin: 1e6, write: 50e6, unpin: 0.45e6)
    private let rangetree = Row.measured("rangetree", pin: 8, write: 50e6, unpin: 7)

    @Test func baselineComesFirst() {
        #expect(
            Summary([rangetree, perpage]).sentence
                == "Checking, locking and unlocking 262,144 entries (1 GiB) costs "
                + "2.9 % of the write with perpage, 0.00003 % with rangetree.")
    }

    @Test func oneStrategyAlone() {
        #expect(
            Summary([rangetree]).sentence
                == "Checking, locking and unlocking 262,144 entries (1 GiB) costs "
                + "0.00003 % of the write with rangetree.")
    }

    @Test func unsafeStrategiesSpeakOnlyWhenAlone() {
        let none = Row.measured("none", safe: false, pin: 0, write: 50e6, unpin: 500)
        #expect(Summary([none, perpage]).sentence == Summary([perpage]).sentence)
        #expect(
            Summary([none]).sentence
                == "Checking, locking and unlocking 262,144 entries (1 GiB) costs "
                + "0.001 % of the write with none (unsafe).")
    }

    @Test func theCheapestAreNamed() {
        let others = [3e5, 1e5, 2e5].map {
            Row.measured("s\(Int($0))", pin: $0, write: 50e6, unpin: 0)
        }
        #expect(
            Summary(others + [perpage]).sentence
                == "Checking, locking and unlocking 262,144 entries (1 GiB) costs "
                + "2.9 % of the write with perpage, 0.2 % with s100000, 0.4 % with s200000.")
    }

    @Test func theMedianOfRatiosCounts() {
        let rows = [(1, 1e6, 50e6), (2, 9e6, 10e6), (3, 2e6, 50e6)].map { round, pin, write in
            Row.measured("perpage", round: round, pin: pin, write: write, unpin: 0)
        }
        // Ratios of 2, 90 and 4 %; a ratio of medians would give 4 % too, a mean 32 %.
        #expect(Summary(rows).sentence.contains(" costs 4 % of the write with perpage."))
        #expect(Summary(Array(rows.prefix(2))).sentence.contains(" costs 46 % "))
    }

    @Test func withoutAWriteItGivesNanoseconds() {
        let rows = [
            Row.measured("rangetree", pin: 12, write: nil, unpin: 11.4),
            Row.measured("perpage", pin: 1_000_000, write: nil, unpin: 546_000),
        ]
        #expect(
            Summary(rows).sentence
                == "A pin and unpin of 262,144 entries (1 GiB) takes 1,550,000 ns with perpage, "
                + "23 ns with rangetree.")
    }

    /// A sync share of 1 is what a run without a write reports; it must not become infinity.
    @Test func aShareOfOneIsNoCost() {
        var row = Row.measured("perpage", pin: 100, write: nil, unpin: 20)
        row.syncShare = 1
        #expect(Summary([row]).sentence.hasSuffix(" takes 120 ns with perpage."))
        row.writeNsP50 = 1
        #expect(Summary([row]).sentence.hasSuffix(" takes 120 ns with perpage."))
    }

    @Test func violationsAreNamed() {
        var first = Row.measured("toctou", safe: false, pin: 5, write: 50e6, unpin: 5)
        first.violationsPrivate = 1
        first.violationsStale = 1200
        first.status = .violation
        var second = first
        second.round = 2
        (second.violationsPrivate, second.violationsStale) = (0, 1)
        #expect(
            Summary([perpage, first, second]).sentence == Summary([perpage]).sentence
                + " toctou (unsafe) wrote 1 private page and had 1,201 converted under its pin.")

        // One that claims safety and broke it is no answer any more.
        var broken = rangetree
        broken.violationsPrivate = 1
        #expect(
            Summary([perpage, broken]).sentence == Summary([perpage]).sentence
                + " rangetree wrote 1 private page and had 0 converted under its pin.")
        broken.violationsPrivate = .max
        broken.violationsStale = .max
        #expect(
            Summary([broken]).sentence.hasPrefix("Every strategy measured was caught: "))
    }

    /// What locks nothing is no cheap lock; alone it is all there is to tell.
    @Test func onlyLocksAreCompared() {
        var fault = Row.measured("fault", pin: 1, write: 50e6, unpin: 1)
        fault.exclusion = "faults"
        var tree = rangetree
        tree.exclusion = "pins"
        #expect(Summary([perpage, tree, fault]).sentence == Summary([perpage, tree]).sentence)
        #expect(Summary([fault]).sentence.contains("with fault"))
    }

    @Test func theLargestSizeAnswers() {
        let small = Row.measured("perpage", sizeBytes: 4096, pin: 10, write: 50, unpin: 10)
        var large = rangetree
        (large.sizeBytes, large.chunkBytes) = (3 << 30, 3 << 30)
        large.entryBytes = 2 << 20
        #expect(
            Summary([small, large]).sentence
                == "Checking, locking and unlocking 1,536 entries (3 GiB, entry 2 MiB) costs "
                + "0.00003 % of the write with rangetree.")
        #expect(Summary([small]).sentence.contains(" 1 entry (4 KiB) costs 40 % "))
    }

    /// Beside requests of a size they are something else; alone they are all there is, and nobody was caught.
    @Test func requestsOfATraceAreNotThoseOfASize() {
        var trace = Row.measured("rangetree", pin: 1e6, write: 5e6, unpin: 1e6)
        (trace.guest, trace.trace, trace.speed) = ("trace", "guest.csv", "max")
        (trace.sizeBytes, trace.chunkBytes, trace.ranges) = (nil, nil, nil)
        #expect(
            Summary([perpage, trace]).sentence
                == "Checking, locking and unlocking 262,144 entries (1 GiB, guest harness, trace none, speed none) costs "
                + "2.9 % of the write with perpage.")
        #expect(
            Summary([trace]).sentence
                == "Checking, locking and unlocking the entries of a request (of any size) costs "
                + "40 % of the write with rangetree.")
    }

    @Test func partlyCoveredEntriesCount() {
        var row = perpage
        row.sizeBytes = 4097
        #expect(Summary([row]).sentence.contains(" 2 entries (4097 B) "))
        row.entryBytes = 0
        #expect(Summary([row]).sentence.contains(" 4,097 entries "))
    }

    @Test func nothingMeasured() {
        let row = Row.planned("kernelpin", status: .unavailable("no io_uring"))
        #expect(Summary([]).text(width: 80) == "No cost of synchronisation was measured.\n")
        #expect(
            Summary([row]).text(width: 80)
                == "kernelpin unavailable: no io_uring (1 row)\n"
                + "No cost of synchronisation was measured.\n")
    }
}
