import DmaReport

/// Rows that have nothing to show.
public enum Unmeasured {
    /// What rows there are and what became of them, and what to do; nil where something was measured or checked.
    public static func problem(_ rows: [Row]) -> String? {
        guard !rows.isEmpty else { return "no rows; name a file that has some" }
        guard !rows.contains(where: { $0.isMeasured || $0.violations != nil }) else { return nil }
        let ends = Tally(rows.map { "'\($0.strategy)' \($0.status)" }).lines("row")
        let shown = ends.prefix(3).joined(separator: ", ")
        return "\(Human.rows(rows.count)), none of them measured: \(shown)"
            + (ends.count > 3 ? ", ..." : "") + "; name a file with rows that are 'ok'"
    }
}
