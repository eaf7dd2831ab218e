/// The sentence that answers what synchronisation costs.
package struct SummaryAnswer {
    package let text: String
    /// The cells that the sentence names, the baseline first.
    package let named: [SummaryCell]

    /// How many strategies one sentence names: the table has the others.
    private static let most = 3

    /// The strategy that does what the question asks about: one check and lock for each entry.
    package static let baseline = "perpage"

    package init(_ cells: [SummaryCell]) {
        let measured = cells.filter { Self.price($0) != nil }
        let priced = measured.filter { !$0.isViolated }
        let safe = priced.filter(\.plan.safe)
        // What holds no pages has nothing to say of the cost of holding them.
        let locks = safe.filter(\.plan.holdsItsPages)
        let candidates = [locks, safe, priced].first { !$0.isEmpty } ?? []
        // Nil where all are requests of any size: a real guest's, or a trace's.
        let largest = candidates.compactMap(\.plan.sizeBytes).max()
        guard let chosen = candidates.first(where: { $0.plan.sizeBytes == largest }) else {
            named = []
            text =
                measured.isEmpty
                ? "No cost of synchronisation was measured."
                : "Every strategy measured was caught: there is no cost to compare."
            return
        }
        // Strategies are compared in one and the same place of the plan.
        let alike = candidates.filter { PlanColumn.varied(in: [$0.plan, chosen.plan]).isEmpty }
        let first = alike.first { $0.plan.strategy == Self.baseline } ?? alike[0]
        let others = alike.filter { $0.plan.strategy != first.plan.strategy }
            .filter { ($0.cost == nil) == (first.cost == nil) }
            .sorted { Self.price($0) ?? 0 < Self.price($1) ?? 0 }
        named = [first] + others.prefix(Self.most - 1)

        let entries =
            switch first.entries {
            case nil: "the entries of a request"
            case 1: "1 entry"
            case let count?: Human.grouped(count) + " entries"
            }
        let what = "\(entries) (\(Self.description(of: first, among: cells)))"
        let start =
            if first.cost == nil {
                "A pin and unpin of \(what) takes \(Human.nanoseconds(first.pair))"
            } else {
                "Checking, locking and unlocking \(what) costs "
                    + "\(Human.percent(first.cost)) of the \(first.transfer)"
            }
        let phrases = ["\(start) with \(Self.name(first))"] + named.dropFirst().map(Self.phrase)
        text = phrases.joined(separator: ", ") + "."
    }

    /// The strategy's name, marked where it claims no safety.
    package static func name(_ cell: SummaryCell) -> String {
        Text.printable(cell.plan.strategy) + (cell.plan.safe ? "" : " (unsafe)")
    }

    /// What a DMA pays: a part of its write, or without a write nanoseconds.
    private static func price(_ cell: SummaryCell) -> Double? { cell.cost ?? cell.pair }

    private static func phrase(_ cell: SummaryCell) -> String {
        let price = cell.cost.map(Human.percent) ?? Human.nanoseconds(cell.pair)
        return "\(price) with \(name(cell))"
    }

    /// The size, and whatever else tells these cells from others.
    private static func description(of cell: SummaryCell, among cells: [SummaryCell]) -> String {
        let others = PlanColumn.varied(in: cells.map(\.plan)).filter {
            $0.title != PlanColumn.size.title && $0.text(cell.plan) != Human.missing
        }
        let texts = others.map { Text.printable("\($0.title) \($0.text(cell.plan))") }
        let size = cell.plan.sizeBytes.map { Human.size(bytes: $0) } ?? "of any size"
        return ([size] + texts).joined(separator: ", ")
    }
}
