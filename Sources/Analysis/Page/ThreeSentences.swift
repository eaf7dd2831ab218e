import Report

/// The answer: what the lock costs the device, what it costs the guest, and whether it held.
struct ThreeSentences {
    /// Always three.
    let all: [String]

    init(_ rows: [Row], cells: [SummaryCell]) {
        let answer = SummaryAnswer(cells)
        all = [answer.text, Self.conversions(answer, cells), Self.safety(rows)]
    }

    // MARK: The guest

    /// Of the strategies that the first sentence names; where it names none, of the first few there are.
    private static func conversions(_ answer: SummaryAnswer, _ cells: [SummaryCell]) -> String {
        let measured = cells.filter { !$0.measured.isEmpty }
        guard let first = answer.named.first ?? measured.first else {
            return "What a conversion costs the guest was not measured."
        }
        let plan = first.plan
        guard plan.convertRateHz > 0 else {
            return "The guest asked for no conversions, so what the lock costs it is not known."
        }
        let alike = measured.filter { PlanColumn.varied(in: [$0.plan, plan]).isEmpty }
        let named = answer.named.isEmpty ? Array(alike.prefix(3)) : answer.named
        let pages = plan.convertPages == 1 ? "1 page" : "\(plan.convertPages) pages"
        return
            """
            A conversion by the guest meanwhile (\(pages), \(position(plan.convertWhere)), policy \(plan.policy)) takes, \
            at the 99th percentile and counted from when it was due, \(named.map(phrase).joined(separator: ", ")).
            """
    }

    private static func phrase(_ cell: SummaryCell) -> String {
        let name = SummaryAnswer.name(cell)
        let denied = cell.deniedShare.map { "\(Human.percent($0)) denied" } ?? "none carried out"
        guard let p99 = cell.convertP99 else { return "no known time with \(name) (\(denied))" }
        return "\(Human.duration(p99)) with \(name) (\(denied))"
    }

    private static func position(_ text: String) -> String {
        switch text {
        case "inside": "inside the buffers"
        case "outside": "outside the buffers"
        case "mixed": "inside and outside the buffers"
        default: text
        }
    }

    // MARK: Safety

    private static func safety(_ rows: [Row]) -> String {
        let checked = rows.filter { $0.violations != nil }
        guard !checked.isEmpty else {
            return "Whether private pages were written is not known: no row was checked."
        }
        let parts = [claims(checked), unsafe(checked), method(checked)]
        return parts.compactMap(\.self).joined(separator: "; ") + "."
    }

    private static func claims(_ checked: [Row]) -> String {
        let safe = checked.filter(\.safe)
        guard !safe.isEmpty else { return "No strategy that was checked claims safety" }
        let broken = caught(safe)
        guard broken.isEmpty else {
            return broken.map { "\($0), though it claims safety" }.joined(separator: "; ")
        }
        guard safe.contains(where: { $0.violationsPrivate != nil }) else {
            return "No page was converted under a pin of a strategy that claims safety"
        }
        return
            "No strategy that claims safety wrote a private page or had one converted under its pin"
    }

    private static func unsafe(_ checked: [Row]) -> String? {
        let unsafe = checked.filter { !$0.safe }
        guard !unsafe.isEmpty else { return nil }
        let broken = caught(unsafe)
        return broken.isEmpty ? "no unsafe strategy was caught" : broken.joined(separator: "; ")
    }

    private static func caught(_ rows: [Row]) -> [String] {
        let broken = rows.filter { $0.violations ?? 0 > 0 }
        return Tally(broken.map(\.strategy)).entries.map { name, _ in
            let own = broken.filter { $0.strategy == name }
            let written = own.compactMap(\.violationsPrivate).reduce(0, saturatingSum)
            let converted = own.compactMap(\.violationsStale).reduce(0, saturatingSum)
            return
                """
                \(Text.printable(name))\(own[0].safe ? "" : " (unsafe)") wrote \(Human.grouped(written)) private \
                \(written == 1 ? "page" : "pages") and had \(Human.grouped(converted)) converted under its pin
                """
        }
    }

    /// What looked, in how many rows, and whether there was anything to see.
    private static func method(_ checked: [Row]) -> String {
        let canaries = checked.count { $0.violationsPrivate != nil }
        let ledger = checked.count { $0.violationsStale != nil }
        var text = "checked by a ledger of conversions after each write (\(Human.rows(ledger)))"
        text +=
            canaries == 0
            ? ", without canaries, since nothing was written"
            : " and a canary in each private page (\(Human.rows(canaries)))"
        let converting = checked.filter { $0.conversions ?? 0 > 0 }
        if converting.isEmpty {
            text += ", but no page was converted: there was nothing to catch"
        } else if converting.allSatisfy({ $0.convertWhere == "outside" }) {
            text += ", but all conversions were outside the buffers, out of the devices' way"
        }
        return text
    }
}
