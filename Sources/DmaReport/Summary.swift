/// What a run found, for people: one line per combination of the plan, medians over its rounds,
/// and a sentence that answers the question.
public struct Summary: Sendable {
    private let rows: [Row]
    private let cells: [SummaryCell]

    /// Of all rows of a run, in the order in which they were measured.
    public init(_ rows: [Row]) {
        self.rows = rows
        cells = SummaryCell.cells(of: rows)
    }

    /// The whole text, with its last line end. Where it would be wider than `width` characters the
    /// least important columns are left out; `color` adds ANSI escapes.
    public func text(width: Int, color: Bool = false) -> String {
        let measured = cells.filter { !$0.measured.isEmpty }
        var lines: [String] = []
        if !measured.isEmpty {
            lines += Text.wrapped(heading(measured), width: width)
            lines += SummaryTable(measured).lines(width: width, color: color)
        }
        if measured.contains(where: { !$0.plan.safe }) {
            lines += Text.wrapped(
                "* unsafe: makes no claim that private pages stay unwritten", width: width)
        }
        if let clockNote { lines += Text.wrapped(clockNote, width: width) }
        for note in notes { lines += Text.wrapped(note, width: width) }
        let answer = Text.wrapped(sentence, width: width)
        lines += color ? answer.map { Style.bold.applied(to: $0) } : answer
        return lines.joined(separator: "\n") + "\n"
    }

    /// What the synchronisation costs, from the medians; and what was caught at what.
    public var sentence: String {
        let caught = Violations.byStrategy(rows).compactMap(\.text).map { $0 + "." }
        return ([SummaryAnswer(cells).text] + caught).joined(separator: " ")
    }

    /// Where a median is so few steps of the clock that its last digits are the clock's.
    private var clockNote: String? {
        guard let step = rows.compactMap(\.clockStepNs).max(), step > Self.fineStep else {
            return nil
        }
        let medians = cells.flatMap { [$0.pin, $0.unpin] }.compactMap { $0 }
        guard medians.contains(where: { $0 < Self.fewSteps * step }) else { return nil }
        return
            "the clock counts in steps of \(Human.duration(step)): a median of a few steps repeats no better"
    }

    private static let fewSteps = 20.0
    /// Of a step of a nanosecond or so nobody sees anything.
    private static let fineStep = 2.0

    private func heading(_ measured: [SummaryCell]) -> String {
        let counts = measured.map(\.measured.count)
        let (least, most) = (counts.min() ?? 0, counts.max() ?? 0)
        let rounds = least == most ? "\(most)" : "\(least) to \(most)"
        let unit = most == 1 ? "round" : "rounds"
        return "p50 of a DMA request, median of \(rounds) \(unit)"
    }

    /// What did not go as planned, each kind once.
    private var notes: [String] {
        var notes = Tally()
        for row in rows {
            switch row.status {
            case .ok, .violation: break
            case .interrupted: notes.add("\(row.strategy) interrupted")
            case .failed(let reason): notes.add("\(row.strategy) failed: \(reason)")
            case .unavailable(let reason): notes.add("\(row.strategy) unavailable: \(reason)")
            }
            for reason in row.noisy { notes.add("noisy: \(reason)") }
        }
        return notes.lines("row").map(Text.printable)
    }
}

/// How a terminal shows a text (ECMA-48, 8.3.117, SGR).
enum Style: Int {
    case plain = 0
    case bold = 1
    case red = 31
    case yellow = 33

    func applied(to text: String) -> String {
        self == .plain ? text : "\u{1B}[\(rawValue)m\(text)\u{1B}[0m"
    }
}
