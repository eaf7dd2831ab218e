import Report

/// Whether private pages were written, by whom, and what looked. Rows that were cut short count: what was found was
/// found.
struct SafetySentence {
    private struct Strategy {
        let name: String
        let isSafe: Bool
        var writtenPages: UInt64 = 0
        var convertedPages: UInt64 = 0

        mutating func add(_ row: Row) {
            writtenPages = saturatingSum(writtenPages, row.violationsPrivate ?? 0)
            convertedPages = saturatingSum(convertedPages, row.violationsStale ?? 0)
        }
    }

    /// In the order in which they first appear.
    private var strategies: [Strategy] = []
    private var ledgerRows = 0
    private var canaryRows = 0
    private var safeCanaryRows = 0
    private var convertingRows = 0
    private var convertingInTheWayRows = 0

    init(_ rows: [Row]) {
        var places: [String: Int] = [:]
        for row in rows where row.violations != nil {
            let place = places[row.strategy] ?? strategies.count
            if place == strategies.count {
                places[row.strategy] = place
                strategies.append(Strategy(name: row.strategy, isSafe: row.safe))
            }
            strategies[place].add(row)
            count(row)
        }
    }

    private mutating func count(_ row: Row) {
        if row.violationsStale != nil { ledgerRows += 1 }
        if row.violationsPrivate != nil {
            canaryRows += 1
            if row.safe { safeCanaryRows += 1 }
        }
        if row.conversions ?? 0 > 0 {
            convertingRows += 1
            if row.convertWhere != "outside" { convertingInTheWayRows += 1 }
        }
    }

    var text: String {
        guard !strategies.isEmpty else {
            return "Whether private pages were written is not known: no row was checked."
        }
        return [claims, unsafe, method].compactMap(\.self).joined(separator: "; ") + "."
    }

    private var claims: String {
        guard strategies.contains(where: \.isSafe) else {
            return "No strategy that was checked claims safety"
        }
        let broken = caught { $0.isSafe }
        guard broken.isEmpty else {
            return broken.map { "\($0), though it claims safety" }.joined(separator: "; ")
        }
        return safeCanaryRows == 0
            ? "No page was converted under a pin of a strategy that claims safety"
            : "No strategy that claims safety wrote a private page or had one converted under its pin"
    }

    private var unsafe: String? {
        guard strategies.contains(where: { !$0.isSafe }) else { return nil }
        let broken = caught { !$0.isSafe }
        return broken.isEmpty ? "no unsafe strategy was caught" : broken.joined(separator: "; ")
    }

    private func caught(_ isWanted: (Strategy) -> Bool) -> [String] {
        strategies.filter { isWanted($0) && ($0.writtenPages > 0 || $0.convertedPages > 0) }.map {
            """
            \(Text.printable($0.name))\($0.isSafe ? "" : " (unsafe)") wrote \(Human.grouped($0.writtenPages)) private \
            \($0.writtenPages == 1 ? "page" : "pages") and had \(Human.grouped($0.convertedPages)) converted under its pin
            """
        }
    }

    /// What looked, in how many rows, and whether there was anything to see.
    private var method: String {
        var text = "checked by a ledger of conversions after each write (\(Human.rows(ledgerRows)))"
        text +=
            canaryRows == 0
            ? ", without canaries, since nothing was written"
            : " and a canary in each private page (\(Human.rows(canaryRows)))"
        if convertingRows == 0 {
            text += ", but no page was converted: there was nothing to catch"
        } else if convertingInTheWayRows == 0 {
            text += ", but all conversions were outside the buffers, out of the devices' way"
        }
        return text
    }
}
