import GuestMemory
import PinLock

/// What a device does before it is killed, and beside whom: lists of ranges of which pins take several atomic steps.
struct Scenario: Sendable {
    let name: String
    /// The guest: its first pages are shared, the others private.
    let pages: UInt64
    let shared: PageRange
    var entrySize = EntrySize.small
    /// What the device registers, pins in this order and gives back, and one more that it is refused.
    var registered: [PageRange] = []
    let pins: [[PageRange]]
    let refused: [PageRange]
    /// What a living device holds.
    let held: [[PageRange]]
    /// Something in the first pin that no living device holds: a conversion of it waits for the device that is killed.
    var waited: PageRange?

    static let small: [Scenario] = [
        Scenario(
            name: "one page, and a few", pages: 1100, shared: range(0..<1024),
            pins: [[page(5)], [range(3..<17)]], refused: [range(1018..<1030)],
            held: [[range(4..<9)], [page(5)], [range(500..<600)]]),
        Scenario(
            name: "across inner nodes", pages: 1100, shared: range(0..<1024),
            pins: [[range(250..<515)], [range(2..<19)]], refused: [range(5..<1025)],
            held: [[range(255..<257)], [range(0..<1024)], [page(18)]]),
        Scenario(
            name: "lists", pages: 1100, shared: range(0..<1024),
            pins: [
                [range(5..<17), page(601), range(3..<9)], [page(601), page(20), page(20)],
            ],
            refused: [page(601), range(4..<6), range(1022..<1026)],
            held: [[page(600), range(510..<514)], [page(7), range(7..<12), page(602)]],
            waited: page(601)),
        Scenario(
            name: "registered, in part", pages: 1100, shared: range(0..<1024),
            registered: [range(3..<300), range(600..<601)],
            pins: [[range(5..<20)], [range(10..<30), page(4)], [range(290..<310), page(600)]],
            refused: [page(1030)],
            held: [[range(7..<12)], [page(299)]], waited: page(20)),
        Scenario(
            name: "2 MiB entries", pages: 2048, shared: range(0..<1536), entrySize: .large,
            pins: [[range(513..<1030)], [range(0..<512)]], refused: [range(1500..<1600)],
            held: [[range(0..<512)], [page(7)]], waited: range(512..<1024)),
        Scenario(
            name: "across a GiB", pages: pagesPerGiB + 600,
            shared: range(pagesPerGiB - 512..<pagesPerGiB + 512),
            pins: [[range(pagesPerGiB - 5..<pagesPerGiB + 5)], [page(pagesPerGiB)]],
            refused: [range(pagesPerGiB + 500..<pagesPerGiB + 513)],
            held: [[range(pagesPerGiB - 6..<pagesPerGiB + 1)], [page(pagesPerGiB - 1)]],
            waited: page(pagesPerGiB + 3)),
        Scenario(
            name: "hundreds of pages", pages: 1100, shared: range(0..<1024),
            pins: [[range(10..<410)], [range(300..<700)]], refused: [range(600..<1100)],
            held: [[range(390..<420)]], waited: page(350)),
    ]

    /// Enough for a broken strategy to be caught.
    static let least = Scenario(
        name: "a few pages", pages: 32, shared: range(0..<24), pins: [[range(3..<17), page(19)]],
        refused: [page(30)], held: [[range(4..<9)]])

    /// With the words above the GiBs. A strategy that visits every page takes long over it.
    static let wholeGiBs = Scenario(
        name: "whole GiBs", pages: 2 * pagesPerGiB + 20, shared: range(0..<2 * pagesPerGiB + 16),
        pins: [[range(0..<2 * pagesPerGiB + 7)], [range(pagesPerGiB - 5..<pagesPerGiB + 5)]],
        refused: [range(0..<2 * pagesPerGiB + 18)],
        held: [[range(pagesPerGiB - 6..<pagesPerGiB + 6)], [page(pagesPerGiB)]], waited: page(3))

    private static let visitsEveryPage: Set = ["perpage", "perpage-swar", "kernelpin", "toctou"]

    /// Those for a strategy; the first few of them where there is little time.
    static func all(for strategy: any PinStrategy.Type, briefly: Bool) -> [Scenario] {
        if briefly { return Array(small.prefix(4)) }
        return visitsEveryPage.contains(strategy.info.name) ? small : small + [wholeGiBs]
    }

    /// What stands between two marks of the device, in order.
    var stages: [String] {
        func named(_ list: [PageRange]) -> String {
            list.map(\.description).joined(separator: " and ")
        }
        return ["join", "register"] + pins.map { "pin of \(named($0))" }
            + ["refused pin of \(named(refused))"]
            + pins.map { "unpin of \(named($0))" } + ["unregister"]
    }

    /// The first stage in which all pins are held.
    var firstUnpin: Int { 3 + pins.count }
}

func range(_ pages: Range<UInt64>) -> PageRange {
    PageRange(start: pages.lowerBound, count: UInt64(pages.count))
}

func page(_ number: UInt64) -> PageRange { PageRange(start: number, count: 1) }

extension PageRange {
    /// The runs of its pages that none of the ranges has.
    func without(_ others: [PageRange]) -> [PageRange] {
        var runs: [PageRange] = []
        var next = lower
        for other in others.sorted(by: { $0.lower < $1.lower }) {
            if other.lower > next {
                runs.append(PageRange(start: next, count: min(other.lower, upper) - next))
            }
            next = max(next, other.upper)
            if next >= upper { return runs }
        }
        return runs + [PageRange(start: next, count: upper - next)]
    }
}
