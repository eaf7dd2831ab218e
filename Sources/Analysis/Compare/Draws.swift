import DmaReport
import DmaStatistics

/// How often a comparison has a verdict, over random draws of runs from a file that `ab` wrote: the proof on real runs
/// that it is neither eager nor blind.
public struct Draws {
    private let old: [[Row]]
    private let new: [[Row]]
    private let threshold: Double
    private let draws: Int
    private var random: SplitMix64

    /// Of whole pairs; the same seed draws the same.
    public init(_ rows: [Row], threshold: Double, draws: Int, seed: UInt64) {
        let runs = Dictionary(grouping: rows.filter { RunSide(ofRun: $0.run) != nil }) {
            RunSide(ofRun: $0.run)!
        }
        let pairs = Set(runs.keys.map(\.pair)).sorted().filter { pair in
            [false, true].allSatisfy { runs[RunSide(isNew: $0, pair: pair)] != nil }
        }
        func side(_ isNew: Bool) -> [[Row]] {
            pairs.map { pair in
                runs[RunSide(isNew: isNew, pair: pair)]!.map {
                    var row = $0
                    row.run = "\(pair)"
                    return row
                }
            }
        }
        (old, new) = (side(false), side(true))
        self.threshold = threshold
        self.draws = draws
        random = SplitMix64(seed: seed)
    }

    /// A line of a Markdown table for each kind of draw for which there are runs enough.
    public mutating func lines() -> [String] {
        let count = old.count
        var lines = [
            "| drawn | comparisons with any verdict | status 3 at \(Comparison.percent(threshold)) | cells told slower |",
            "|---|---|---|---|",
        ]
        for runs in [4, 6, 8] where 2 * runs <= count {
            lines.append(
                line("\(runs) runs of old against \(runs) others of old") { draws, random in
                    let places = Array(0..<count).shuffled(using: &random)
                    return draws.compare(
                        places.prefix(runs).map { draws.old[$0] },
                        places.suffix(runs).map { draws.old[$0] })
                })
        }
        for runs in [4, 6, 8] where runs <= count {
            lines.append(
                line("\(runs) runs of old against \(runs) of new") { draws, random in
                    draws.compare(
                        Array(draws.old.shuffled(using: &random).prefix(runs)),
                        Array(draws.new.shuffled(using: &random).prefix(runs)))
                })
        }
        for runs in [4, 6, 8] where runs <= count {
            lines.append(
                line("\(runs) pairs of old and new") { draws, random in
                    let places = Array(0..<count).shuffled(using: &random).prefix(runs)
                    return Comparison(
                        pairing: places.flatMap { draws.old[$0] }, named: "old",
                        with: places.flatMap { draws.new[$0] }, named: "new", metrics: [.standard],
                        threshold: draws.threshold)
                })
        }
        return lines
    }

    private func compare(_ base: [[Row]], _ new: [[Row]]) -> Comparison {
        Comparison(
            base: base.flatMap(\.self), new: new.flatMap(\.self), metrics: [.standard],
            threshold: threshold)
    }

    private mutating func line(
        _ name: String, _ draw: (Draws, inout SplitMix64) -> Comparison
    ) -> String {
        var (verdicts, failures, slower, cells) = (0, 0, 0, 0)
        for _ in 0..<draws {
            let comparison = draw(self, &random)
            let found = comparison.cells.filter { [.slower, .faster].contains($0.verdict) }
            if !found.isEmpty { verdicts += 1 }
            if comparison.cells.contains(where: \.isRegression) { failures += 1 }
            slower += found.count { $0.verdict == .slower }
            cells += comparison.testedCount
        }
        let shares = [(verdicts, draws), (failures, draws), (slower, max(1, cells))].map {
            Comparison.percent(Double($0) / Double($1))
        }
        return "| \(name) | \(shares.joined(separator: " | ")) |"
    }
}
