import DmaReport

/// The answer: what the lock costs the device, what it costs the guest, and whether it held.
struct ThreeSentences {
    /// Always three.
    let all: [String]

    init(_ rows: [Row], cells: [SummaryCell]) {
        let answer = SummaryAnswer(cells)
        all = [answer.text, Self.conversions(answer, cells), SafetySentence(rows).text]
    }

    /// Of the strategies that the first sentence names; where it names none, of the first few there are.
    private static func conversions(_ answer: SummaryAnswer, _ cells: [SummaryCell]) -> String {
        let measured = cells.filter { !$0.measured.isEmpty }
        guard let first = answer.named.first ?? measured.first else {
            return "What a conversion costs the guest was not measured."
        }
        let plan = first.plan
        guard plan.convertRateHz != 0 else {
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
}
