import DmaReport

/// Whether private pages were written, by whom, and what looked. Rows that were cut short count: what was found was
/// found.
struct SafetySentence {
    private let strategies: [Violations]
    private var ledgerRows = 0
    private var canaryRows = 0
    private var safeCanaryRows = 0
    private var convertingRows = 0
    private var convertingInTheWayRows = 0
    /// What devices did with guest memory.
    private var transfers: Set<String> = []

    init(_ rows: [Row]) {
        strategies = Violations.byStrategy(rows)
        for row in rows where row.violations != nil { count(row) }
    }

    private mutating func count(_ row: Row) {
        if row.violationsStale != nil {
            ledgerRows += 1
            transfers.insert(row.transfer)
        }
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

    private func caught(_ isWanted: (Violations) -> Bool) -> [String] {
        strategies.filter(isWanted).compactMap(\.text)
    }

    /// What looked, in how many rows, and whether there was anything to see.
    private var method: String {
        let transfer = transfers.count == 1 ? transfers.first! : "write or read"
        var text =
            "checked by a ledger of conversions after each \(transfer) (\(Human.rows(ledgerRows)))"
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
