import Experiment
import GuestMemory
import Testing

@testable import dma_bench

/// Reads sizes as `--size` does, in bytes.
private func sizes(_ text: String) throws(UsageError) -> [UInt64] {
    let pages = try Quantity.numbers(
        text, option: "--size", raw: { $0.bytes.rawValue },
        { element throws(UsageError) in try Quantity.pages(element, option: "--size") })
    return pages.map(\.bytes.rawValue)
}

private func counts(
    _ text: String, in limits: ClosedRange<UInt64> = 0...UInt64.max
) throws(UsageError) -> [UInt64] {
    try Quantity.numbers(
        text, option: "--ranges", raw: { $0 },
        { element throws(UsageError) in
            try Quantity.count(element, option: "--ranges", in: limits)
        })
}

/// What a refusal says; nil where there is none.
private func refusal<Value>(_ body: () throws(UsageError) -> Value) -> String? {
    do throws(UsageError) {
        _ = try body()
        return nil
    } catch {
        return error.description
    }
}

@Suite struct SizeTests {
    @Test(
        arguments: [
            ("0", 0), ("1", 1), ("4096", 4096), ("0004K", 4096), ("4K", 4096), ("4k", 4096),
            ("4KiB", 4096), ("4kib", 4096), ("64M", 64 << 20), ("1G", 1 << 30), ("1GiB", 1 << 30),
            ("1T", 1 << 40), ("16T", 1 << 44), ("16384G", 1 << 44), ("17592186044416", 1 << 44),
        ] as [(String, UInt64)])
    func isUnderstood(_ text: String, _ bytes: UInt64) throws {
        #expect(try Quantity.size(text, option: "--size") == ByteCount(bytes))
    }

    @Test(arguments: [
        "", "K", "abc", "-1", "+4K", "-4K", " 4K", "x1000", ".5G", "\u{664}K", "4\u{301}K",
    ])
    func withoutDigitsInFrontIsNoSize(_ text: String) {
        #expect(
            refusal { () throws(UsageError) in try Quantity.size(text, option: "--size") }
                == "--size \(text): not a size; write digits and a unit, as in 4K, 64M or 1G")
    }

    @Test(arguments: [
        "4X", "4B", "4iB", "4 K", "4K ", "4Ki", "4KiBB", "4KK", "1.5G", "1e3", "0x1000", "4E",
    ])
    func ofAnotherUnitIsRefused(_ text: String) {
        #expect(
            refusal { () throws(UsageError) in try Quantity.size(text, option: "--size") }
                == "--size \(text): unknown unit; use K, M, G or T (powers of 1024)")
    }

    @Test(arguments: ["KB", "MB", "GB", "TB", "PB", "kb", "Gb"])
    func thatCouldBeDecimalIsRefused(_ unit: String) throws {
        let text = try #require(
            refusal { () throws(UsageError) in try Quantity.size("1" + unit, option: "--size") })
        let symbol = unit.prefix(1).uppercased()
        #expect(text.contains("could mean powers of 1000 or of 1024"))
        #expect(text.contains("write 1\(symbol) or 1\(symbol)iB"))
    }

    @Test(arguments: [
        "17592186044417", "16385G", "17T", "1P", "99999999T", "18446744073709551615",
        "18446744073709551615P", "18446744073709551616", "99999999999999999999999K",
    ])
    func aboveTheLargestGuestIsRefused(_ text: String) {
        #expect(
            refusal { () throws(UsageError) in try Quantity.size(text, option: "--size") }
                == "--size \(text): too large; the largest guest is 16T")
    }

    @Test func ofPagesIsWholePages() throws {
        #expect(try Quantity.pages("8K", option: "--size") == PageCount(2))
        #expect(try Quantity.pages("16T", option: "--size") == PageCount(PageRange.frameLimit))
        let refusals = ["0", "0K", "1", "3K", "5K", "4097"].map { text in
            refusal { () throws(UsageError) in try Quantity.pages(text, option: "--size") }
        }
        #expect(
            refusals == [
                "--size 0: must be at least 4K, one page",
                "--size 0K: must be at least 4K, one page",
                "--size 1: not a whole number of 4K pages; the nearest are 4K and above",
                "--size 3K: not a whole number of 4K pages; the nearest are 4K and above",
                "--size 5K: not a whole number of 4K pages; the nearest are 4K and 8K",
                "--size 4097: not a whole number of 4K pages; the nearest are 4K and 8K",
            ])
    }
}

@Suite struct CountTests {
    @Test func limitsAreInclusive() throws {
        #expect(try Quantity.count("1", option: "--lanes", in: 1...64) == 1)
        #expect(try Quantity.count("64", option: "--lanes", in: 1...64) == 64)
        let largest = String(UInt64.max)
        #expect(try Quantity.count(largest, option: "--seed", in: 0...UInt64.max) == UInt64.max)
    }

    @Test(arguments: [
        "", "0", "65", "-1", "+1", "1.5", "1K", " 1", "one", "\u{661}", "18446744073709551616",
    ])
    func anythingElseIsRefused(_ text: String) {
        #expect(
            refusal { () throws(UsageError) in
                try Quantity.count(text, option: "--lanes", in: 1...64)
            } == "--lanes \(text): must be a whole number from 1 to 64")
    }
}

@Suite struct ListTests {
    @Test(
        arguments: [
            ("4K", [4]), ("4K,8K,4096", [4, 8]), ("4K..64K:x4", [4, 16, 64]),
            ("4K..60K:x4", [4, 16]), ("4K..4K:x2", [4]), ("4K..12K:+4K", [4, 8, 12]),
            ("4K..15M:+8M", [4, 8196]), ("16K,4K..8K:+4K,64K", [16, 4, 8, 64]),
        ] as [(String, [UInt64])])
    func ofSizesIsSpelledOut(_ text: String, _ kib: [UInt64]) throws {
        #expect(try sizes(text) == kib.map { $0 << 10 })
    }

    @Test func ofCountsIsSpelledOut() throws {
        #expect(try counts("1..10:x3,7") == [1, 3, 9, 7])
        #expect(try counts("0..6:+3") == [0, 3, 6])
    }

    @Test func reachesTheLargestNumberWithoutOverflow() throws {
        let top = UInt64.max
        #expect(try counts("\(top - 1)..\(top):+1") == [top - 1, top])
        #expect(try counts("\(top - 1)..\(top):+\(top)") == [top - 1])
        #expect(try counts("\(top / 2)..\(top):x2") == [top / 2, top - 1])
        #expect(try counts("\(top / 2)..\(top):x3") == [top / 2])
        #expect(try sizes("4T..16T:+4T").last == 16 << 40)
    }

    @Test(arguments: ["0..6:x2", "0..0:x2", "1..6:+0"])
    func withARangeThatDoesNotMoveIsRefused(_ text: String) throws {
        let reason = try #require(refusal { () throws(UsageError) in try counts(text) })
        #expect(reason.contains("leads nowhere; write "), "\(reason)")
    }

    @Test(arguments: ["", ",", "4K,", ",4K", "4K,,8K"])
    func withAHoleIsRefused(_ text: String) throws {
        let reason = try #require(refusal { () throws(UsageError) in try sizes(text) })
        #expect(reason.contains("the list has a hole"))
    }

    @Test(arguments: ["4K..8K", "4K..8K:", "4K..8K:y2", "4K..8K:2", "4K..8K:x2:x2", "4K...8K"])
    func withARangeWithoutStepIsRefused(_ text: String) throws {
        let reason = try #require(refusal { () throws(UsageError) in try sizes(text) })
        #expect(reason.contains("a range needs a step"), "\(reason)")
    }

    @Test(arguments: [
        ("8K..4K:x2", "its first value is above its last"),
        ("4K..8K:x1", "step 1: must be a whole number from 2"),
        ("4K..8K:x0", "step 0: must be a whole number from 2"),
        ("4K..8K:x", "must be a whole number from 2"),
        ("4K..8K:x-2", "must be a whole number from 2"),
        ("4K..8K:+0", "must be at least 4K"),
        ("4K..8K:+1K", "not a whole number of 4K pages"),
        ("..8K:x2", "not a size"), ("4K..:x2", "not a size"), ("..:x2", "not a size"),
        ("1K..8K:x2", "not a whole number of 4K pages"), ("4K..1P:x2", "too large"),
    ])
    func withABadRangeIsRefused(_ text: String, _ part: String) throws {
        let reason = try #require(refusal { () throws(UsageError) in try sizes(text) })
        #expect(reason.hasPrefix("--size ") && reason.contains(part), "\(reason)")
    }

    @Test func hasLimits() throws {
        #expect(try counts("1..4096:+1").count == 4096)
        let commas = Array(repeating: "1", count: 4097).joined(separator: ",")
        for text in ["1..4097:+1", "0..\(UInt64.max):+1", commas] {
            #expect(
                refusal { () throws(UsageError) in try counts(text) }
                    == "--ranges: more than 4096 values")
        }
        #expect(refusal { () throws(UsageError) in try counts("1..8:x2", in: 1...4) } != nil)
    }

    @Test func ofNamesKeepsItsOrderAndEachOnce() throws {
        let read = try Quantity.list("b,a,b", option: "--engine") { name throws(UsageError) in
            name.uppercased()
        }
        #expect(read == ["B", "A"])
    }
}

@Suite struct ChoiceTests {
    private let names = [("none", 1), ("perpage", 2), ("rangetree", 3)]

    @Test func isByExactName() throws {
        #expect(try Choice.named("perpage", option: "--strategy", among: names) == 2)
        for text in ["Perpage", "perpage ", "per", ""] {
            #expect(throws: UsageError.self) {
                try Choice.named(text, option: "--strategy", among: names)
            }
        }
    }

    @Test(arguments: [
        ("rangetre", "did you mean rangetree? "), ("rnagetree", "did you mean rangetree? "),
        ("nonne", "did you mean none? "), ("foobar", ""), ("xxxxxxxxxxxx", ""),
    ])
    func namesTheNearestOne(_ text: String, _ hint: String) {
        #expect(
            refusal { () throws(UsageError) in
                try Choice.named(text, option: "--strategy", among: names)
            } == "--strategy \(text): unknown; \(hint)there are none, perpage, rangetree")
    }

    @Test(arguments: [
        ("", "", 0), ("", "abc", 3), ("abc", "", 3), ("abc", "abc", 0), ("abc", "abd", 1),
        ("abc", "ac", 1), ("abc", "xabc", 1), ("kitten", "sitting", 3), ("ab", "ba", 2),
    ])
    func distanceCountsEdits(_ left: String, _ right: String, _ edits: Int) {
        #expect(Choice.distance(left, right) == edits)
        #expect(Choice.distance(right, left) == edits)
    }
}
