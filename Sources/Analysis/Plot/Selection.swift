import DmaReport
import DmaStatistics

/// What figures vary, one at a time.
enum Dimension: CaseIterable {
    case size
    case rate
    case ranges
    case misalignment
    /// DMAs that fall due in a second.
    case load

    func value(_ row: Row) -> Double {
        switch self {
        case .size: Double(row.sizeBytes ?? 0)
        case .rate: row.convertRateHz ?? .infinity
        case .ranges: Double(row.ranges ?? 0)
        case .misalignment: Double(row.misalignBytes ?? 0)
        case .load: row.dmaRateHz ?? .infinity
        }
    }

    func text(_ value: Double) -> String {
        switch self {
        case .size: Human.size(bytes: whole(value))
        case .rate:
            value.isFinite ? "\(Human.grouped(whole(value))) conversions/s" : "full rate"
        case .ranges: value == 1 ? "1 range" : "\(Human.grouped(whole(value))) ranges"
        case .misalignment:
            value == 0 ? "aligned" : "misaligned by \(Human.size(bytes: whole(value)))"
        case .load:
            value.isFinite ? "\(Human.grouped(whole(value))) DMAs/s due" : "a DMA after the other"
        }
    }
}

/// Rows that differ in strategy, in round, in the dimension that a figure varies, and in nothing else.
struct Selection {
    typealias Entry = Evidence.Entry

    let evidence: Evidence
    let entries: [Entry]
    private let free: Dimension?
    /// What the rows have that could have been taken and were not.
    let leftOut: [String]

    private struct Key: Hashable {
        let setting: Int
        let values: [Double]
    }

    /// Of the rows that `qualify`, those with the largest value of each of `largest`, and of these the setting with
    /// the most values of the dimension that is `free`, then the most strategies, then the most rows. Nil of no rows.
    init?(
        _ evidence: Evidence, varying free: Dimension?, largest: [Dimension] = [],
        where qualify: (Row) -> Bool
    ) {
        var candidates = evidence.entries.filter { qualify(evidence.rows[$0.row]) }
        for dimension in largest {
            let values = candidates.map { dimension.value(evidence.rows[$0.row]) }
            let most = values.max()
            candidates = zip(candidates, values).filter { $1 == most }.map(\.0)
        }
        let fixed = Dimension.allCases.filter { $0 != free }
        func rank(_ entries: [Entry]) -> (Int, Int, Int) {
            let values = free.map { free in
                Set(entries.map { free.value(evidence.rows[$0.row]) })
            }
            return (values?.count ?? 0, Set(entries.map(\.strategy)).count, entries.count)
        }
        let groups = candidates.grouped { entry in
            Key(setting: entry.setting, values: fixed.map { $0.value(evidence.rows[entry.row]) })
        }.map { (key: $0.key, entries: $0.elements, rank: rank($0.elements)) }
        // Of equals the first.
        guard let first = groups.first else { return nil }
        let best = groups.dropFirst().reduce(first) { $1.rank > $0.rank ? $1 : $0 }

        var leftOut: [String] = []
        for (place, dimension) in fixed.enumerated() {
            let others = Set(groups.map { $0.key.values[place] })
                .subtracting([best.key.values[place]])
            if !others.isEmpty { leftOut.append(Self.list(others.sorted().map(dimension.text))) }
        }
        let chosen = evidence.settings[best.key.setting].values
        for (place, name) in Setting.names.enumerated() {
            let others = Set(groups.map { evidence.settings[$0.key.setting].values[place] })
                .subtracting([chosen[place]])
            if !others.isEmpty { leftOut.append("\(name) " + Self.list(others.sorted())) }
        }
        let taken = best.entries
        let variants = Self.commonVariants(taken)
        self.evidence = evidence
        self.free = free
        entries = taken.filter { variants[$0.strategy] == $0.variant }
        if entries.count < taken.count {
            leftOut.append("other pools, caches, or ways with faults")
        }
        self.leftOut = leftOut
    }

    /// The first of the most common variants of each strategy.
    private static func commonVariants(_ entries: [Entry]) -> [Int: Evidence.Variant] {
        var counts: [Int: [(variant: Evidence.Variant, count: Int)]] = [:]
        for entry in entries {
            var known = counts[entry.strategy] ?? []
            if let place = known.firstIndex(where: { $0.variant == entry.variant }) {
                known[place].count += 1
            } else {
                known.append((entry.variant, 1))
            }
            counts[entry.strategy] = known
        }
        return counts.mapValues { known in
            known.dropFirst().reduce(known[0]) { $1.count > $0.count ? $1 : $0 }.variant
        }
    }

    private static func list(_ texts: [String]) -> String {
        texts.prefix(4).joined(separator: ", ") + (texts.count > 4 ? ", ..." : "")
    }

    // MARK: What it holds

    var strategies: [Int] { Set(entries.map(\.strategy)).sorted() }

    /// How many rounds the points of the figure have, from the fewest to the most.
    var roundCounts: ClosedRange<Int> {
        let counts = table { _ in 0 }.values.flatMap(\.values).map(\.count)
        return counts.min()!...counts.max()!
    }

    /// The values that the free dimension takes, ascending.
    var values: [Double] { Set(entries.map(x)).sorted() }

    /// Any of the rows, for what they have in common.
    var example: Row { evidence.row(entries[0]) }

    /// Where on the free dimension an entry lies; zero where none is free.
    func x(_ entry: Entry) -> Double { free?.value(evidence.rows[entry.row]) ?? 0 }

    /// Behind a title: the one size that there is.
    var sizeNote: String { ", DMAs of \(Human.size(bytes: example.sizeBytes))" }

    /// What a time of pin and unpin does not say; empty, or a sentence after a blank.
    var copyNote: String {
        let copied = Set(entries.filter { evidence.row($0).isCopied }.map(\.strategy)).sorted()
        guard !copied.isEmpty else { return "" }
        let names = copied.map { evidence.strategies[$0] }.joined(separator: ", ")
        return " Of \(names), the guest's copy is not in it."
    }

    /// A value of every entry, by strategy, place on the free dimension, and trial. Beyond 10^18, which is 31 years in
    /// nanoseconds, nothing was measured.
    func table(_ value: (Row) -> Double?) -> [Int: [Double: [Int: Double]]] {
        var table: [Int: [Double: [Int: Double]]] = [:]
        for entry in entries {
            guard let value = value(evidence.rows[entry.row]), value <= 1e18 else { continue }
            table[entry.strategy, default: [:]][x(entry), default: [:]][entry.trial] = value
        }
        return table
    }

    /// A line of medians over trials for each strategy.
    func lines(_ value: (Row) -> Double?) -> [Figure.Series] {
        table(value).sorted { $0.key < $1.key }.map { strategy, cells in
            series(strategy, Self.points(cells.mapValues { Array($0.values) }))
        }
    }

    func series(_ strategy: Int, _ points: [Figure.Point]) -> Figure.Series {
        Figure.Series(
            name: evidence.label(strategy),
            look: evidence.look(strategy), points: points)
    }

    /// Medians with their intervals, from left to right.
    static func points(_ samples: [Double: [Double]]) -> [Figure.Point] {
        samples.sorted { $0.key < $1.key }.compactMap { x, values in
            let sample = Sample(values)
            return sample.median.map {
                Figure.Point(x: x, y: $0, xInterval: nil, yInterval: sample.medianInterval)
            }
        }
    }
}
