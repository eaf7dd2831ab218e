import DmaReport

/// What was measured and how: the plan as the rows tell it, and how the figures are to be read.
struct Method {
    let rows: [Row]
    let cells: [SummaryCell]

    var markup: Markup {
        """
        <dl>
        \(plan.map { "<div><dt>\($0)</dt><dd>\($1)</dd></div>" as Markup }.joined())
        </dl>
        <ul>
        \(notes.map { "<li>\($0)</li>" as Markup }.joined())
        </ul>
        """
    }

    /// Each option of the plan with all its values, in the order in which they came.
    private var plan: [(String, String)] {
        var entries = [("strategies", Tally(cells.map(\.plan.strategy)).entries.map(\.text))]
        entries += PlanColumn.all.map { column in
            let texts = Tally(cells.map { column.text($0.plan) }).entries.map(\.text)
            return (column.title, texts.count > 1 ? texts.filter { $0 != Human.missing } : texts)
        }
        return entries.map { ($0, $1.joined(separator: ", ")) }
    }

    private var clock: String {
        let costs = rows.compactMap(\.clockNs)
        guard let least = costs.min(), let most = costs.max() else { return "" }
        let (low, high) = (Human.duration(least), Human.duration(most))
        return low == high ? " (\(low))" : " (\(low) to \(high))"
    }

    private var notes: [String] {
        [
            """
            A row of a file is one turn: one strategy in one round. Each figure of the table is the median over a \
            line's rounds; below it, where the median lies with 95 % confidence (order statistics, which assume \
            nothing about the distribution). Fewer than six rounds cannot tell.
            """,
            """
            In every round the strategies that differ in nothing else follow each other, in an order that rotates, \
            so that drift hits all alike. Each turn warms up first; nothing is dropped afterwards.
            """,
            """
            Pin, write and unpin are timed inside the DMA, each with one reading of the clock\(clock). So they \
            contain the cache and TLB misses that a write leaves behind. The hot pair is the same request pinned and \
            unpinned in a loop without a write: the lock alone. Both are true; a device pays the first.
            """,
            """
            Read a cheap strategy's pin and unpin beside those of none, which locks nothing: that is the floor of \
            the harness.
            """,
            """
            A conversion counts from the moment it was due, whatever held it up. One that is refused has no time: \
            read p99 together with the share denied.
            """,
            """
            A violation is a page that was written while it was private (each private page holds a pattern, which is \
            looked at before the page is shared again and at the end) or that was converted under a device's pin \
            (devices look at a ledger of conversions after each write). Violations are summed over all rounds. \
            Neither check is in the times of pin, write and unpin.
            """,
            """
            There is no SEV-SNP hardware in it. The RMP is a table in shared memory; RMPUPDATE, PVALIDATE, TLB \
            flushes and exits of a vCPU would come on top of every conversion, whatever the strategy. \(guests)
            """,
        ]
    }

    /// Who sent the requests, and what the devices did with the guest's memory.
    private var guests: String {
        let guests = Tally(rows.map { $0.guest ?? "" }).entries.map { guest, _ in
            switch guest {
            case "": "a few threads of the harness"
            case "trace": "a few threads of the harness that replay what a real one sent"
            default: "a real one, in a virtual machine"
            }
        }
        let transfers = Set(rows.map(\.transfer))
        let devices =
            transfers == ["write"]
            ? "only write" : transfers == ["read"] ? "only read" : "write and read"
        return "The guest is \(guests.joined(separator: ", or ")); the devices \(devices)."
    }
}
