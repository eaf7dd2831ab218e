import DmaReport

/// What a line of the table must say besides its figures.
enum Remarks {
    static func of(_ cell: SummaryCell) -> [String] {
        violations(cell) + variant(cell) + copy(cell) + losses(cell) + statuses(cell)
    }

    private static func violations(_ cell: SummaryCell) -> [String] {
        guard cell.isViolated else { return [] }
        let written = sum(cell) { $0.violationsPrivate }
        let converted = sum(cell) { $0.violationsStale }
        return [
            "\(Human.grouped(written)) written while private",
            "\(Human.grouped(converted)) converted under a pin",
        ]
    }

    /// Options that only this strategy has.
    private static func variant(_ cell: SummaryCell) -> [String] {
        var remarks: [String] = []
        if let pool = cell.plan.poolBytes, let size = cell.plan.sizeBytes, pool < size {
            remarks.append("pool \(Human.size(bytes: pool))")
        }
        if let policy = cell.plan.onFault { remarks.append("on a fault: \(policy)") }
        return remarks
    }

    private static func copy(_ cell: SummaryCell) -> [String] {
        let sample = Measure.copy.sample(of: cell)
        guard let median = sample.median else { return [] }
        let interval = Measure.copy.interval(sample).map { " (\($0))" } ?? ""
        return ["the guest's copy: \(Human.duration(median))\(interval)"]
    }

    private static func losses(_ cell: SummaryCell) -> [String] {
        var remarks: [String] = []
        let lost = sum(cell) { $0.lostBytes }
        if lost > 0 { remarks.append("\(Human.grouped(lost)) B never reached the guest") }
        let leaked = sum(cell) { $0.leakedPins }
        if leaked > 0 { remarks.append("\(Human.grouped(leaked)) pins left over") }
        return remarks
    }

    /// How rounds ended that were not measured to their end, each kind once.
    private static func statuses(_ cell: SummaryCell) -> [String] {
        let ended = cell.rows.filter { !$0.isMeasured }
        return Tally(ended.map(\.status.description)).entries.map { status, count in
            "\(status) (\(Human.rounds(count)))"
        }
    }

    private static func sum(_ cell: SummaryCell, _ value: (Row) -> UInt64?) -> UInt64 {
        cell.rows.compactMap(value).reduce(0, saturatingSum)
    }
}

extension Human {
    static func rounds(_ count: Int) -> String { counted(count, "round", "rounds") }
    static func rows(_ count: Int) -> String { counted(count, "row", "rows") }

    static func counted(_ count: Int, _ one: String, _ several: String) -> String {
        "\(grouped(UInt64(count))) \(count == 1 ? one : several)"
    }
}
