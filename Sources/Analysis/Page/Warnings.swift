import DmaReport
import DmaStatistics

/// What a reader should know before the figures are believed, the worst first.
struct Warnings {
    let all: [String]

    init(_ rows: [Row], lines: [Line]) {
        let cells = lines.map(\.cell)
        all =
            Self.broken(rows) + Self.mixtures(rows) + Self.endings(rows) + Self.noise(rows)
            + Self.rounds(cells) + Self.firstRounds(cells) + Self.outliers(lines)
    }

    static func broken(_ rows: [Row]) -> [String] {
        let names = Tally(rows.filter { $0.safe && $0.violations ?? 0 > 0 }.map(\.strategy))
        return names.entries.map { name, count in
            "\(name) claims safety and broke it, in \(Human.rows(count)). This is a bug."
        }
    }

    private static func mixtures(_ rows: [Row]) -> [String] {
        var warnings: [String] = []
        let environments = Set(rows.map(\.env)).count
        if environments > 1 {
            warnings.append(
                "Rows of \(environments) environments are in one table: times of two machines do not compare."
            )
        }
        let runs = Set(rows.map(\.run)).count
        if runs > 1 {
            warnings.append(
                "\(runs) runs are taken together. What they have in common was not interleaved: drift is not cancelled."
            )
        }
        return warnings
    }

    static func endings(_ rows: [Row]) -> [String] {
        let ended = rows.filter { !$0.isMeasured }
        let texts = ended.map { "\($0.strategy): \($0.status)" }
        return Tally(texts).entries.map { "\($0) (\(Human.rows($1)))." }
    }

    private static func noise(_ rows: [Row]) -> [String] {
        Tally(rows.flatMap(\.noisy)).entries.map { reason, count in
            let share =
                "noisy=\(reason) in \(Human.grouped(UInt64(count))) of \(Human.rows(rows.count))"
            switch reason {
            case "cpu":
                return
                    "\(share): two pinned threads did less than 1.7 times the work of one, so the processors were shared."
            case "warmup":
                return
                    "\(share): the time of a write had not settled when the measurement began."
            case "samples":
                return
                    "\(share): a device had to wait between requests for the harness; its times stand."
            default: return "\(share)."
            }
        }
    }

    private static func rounds(_ cells: [SummaryCell]) -> [String] {
        let measured = cells.filter { !$0.measured.isEmpty }
        let few = measured.count { $0.measured.count < 6 }
        guard few > 0 else { return [] }
        return [
            "\(few) of \(Human.counted(measured.count, "line", "lines")) have fewer than six rounds, which give no 95 % interval."
        ]
    }

    /// A first round that is an outlier beside the others, on the slow side.
    private static func firstRounds(_ cells: [SummaryCell]) -> [String] {
        let slow = cells.count { cell in
            isFirstSlow(cell.measured.sorted { $0.round < $1.round }.compactMap(\.dmaNsP50))
        }
        guard slow > 0 else { return [] }
        return [
            "In \(slow) of \(Human.counted(cells.count, "line", "lines")) the first round's DMAs took longer than all others explain: what came before the run may be in it."
        ]
    }

    /// Kept in every figure; counted, so that a reader may look.
    private static func outliers(_ lines: [Line]) -> [String] {
        let counts = Measure.all.indices.compactMap { index -> String? in
            let count = lines.reduce(0) { $0 + $1.samples[index].outlierCount }
            return count > 0
                ? "\(Measure.all[index].title) \(Human.grouped(UInt64(count)))" : nil
        }
        guard !counts.isEmpty else { return [] }
        return [
            "Rounds far from their line's median (modified z-score over 3.5), all kept: \(counts.joined(separator: ", "))."
        ]
    }
}
