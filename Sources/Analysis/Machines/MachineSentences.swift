import DmaReport

/// What holds on all of several machines, and where it does not.
struct MachineSentences {
    let all: [String]

    /// How many strategies a sentence names: the table has the others.
    private static let most = 4

    init(_ machines: [MachineRows], _ comparison: MachineComparison?) {
        let each = machines.map { machine in
            "\(machine.name): \(SummaryAnswer(SummaryCell.cells(of: machine.rows)).text)"
        }
        all =
            Self.common(machines, comparison) + each + [
                SafetySentence(machines.flatMap(\.rows)).text
            ]
    }

    private static func common(
        _ machines: [MachineRows], _ comparison: MachineComparison?
    ) -> [String] {
        guard let comparison, let base = place(comparison) else {
            return [
                "No combination of the plan was measured on all machines: nothing can be said of all of them."
            ]
        }
        let others = comparison.lines.filter { line in
            line.plan.strategy != comparison.baseline
                && PlanColumn.varied(in: [line.plan, base.plan]).isEmpty
                && line.values.allSatisfy { $0?.comparison != nil }
        }
        let fewest = Unit.run.fewest
        let byRuns = others.filter { $0.values.allSatisfy { $0?.isByRuns ?? false } }
        guard !byRuns.isEmpty else {
            let counts = machines.map { "\($0.name) has \(Unit.run.count($0.runCount))" }
            return [
                """
                No sentence says anything of all machines: that needs \(fewest) runs of each (\(Unit.run.remedy)) \
                with \(comparison.baseline) and another strategy in them; \(counts.joined(separator: ", ")).
                """
            ]
        }
        // What holds no pages, or does not keep its promise, has nothing to say of the cost of holding them.
        let locks = byRuns.filter { $0.plan.safe && $0.plan.holdsItsPages }
        let known = locks.isEmpty ? byRuns : locks
        let texts = Texts(machines, comparison, base)
        return [texts.cost]
            + [
                texts.less(known.filter { $0.isAlways(.faster) }),
                texts.more(known.filter { $0.isAlways(.slower) }),
                texts.unlike(known.filter { !$0.isAlways(.faster) && !$0.isAlways(.slower) }),
            ].compactMap(\.self)
    }

    /// The baseline with the largest requests that every machine has measured.
    static func place(_ comparison: MachineComparison) -> MachineComparison.Line? {
        let common = comparison.lines.filter { line in
            line.plan.strategy == comparison.baseline
                && line.values.allSatisfy { $0?.median != nil }
        }
        let largest = common.compactMap(\.plan.sizeBytes).max()
        return common.first { $0.plan.sizeBytes == largest }
    }

    private struct Texts {
        let machines: [MachineRows]
        let comparison: MachineComparison
        let base: MachineComparison.Line

        init(
            _ machines: [MachineRows], _ comparison: MachineComparison,
            _ base: MachineComparison.Line
        ) {
            (self.machines, self.comparison, self.base) = (machines, comparison, base)
        }

        private var all: String {
            machines.count == 2 ? "both machines" : "all \(machines.count) machines"
        }

        var cost: String {
            let size =
                base.plan.sizeBytes.map { "at " + Human.size(bytes: $0) }
                ?? "with requests of any size"
            let values = zip(machines, base.values).map { machine, value in
                "\(comparison.metric.text(value?.median)) on \(machine.title)"
            }
            return
                "\(comparison.baseline) \(size): \(comparison.cost.subject) is \(values.joined(separator: ", "))."
        }

        func less(_ lines: [MachineComparison.Line]) -> String? {
            sentence(lines, "less than that, and by what factor", ascending: false) { $0 }
        }

        func more(_ lines: [MachineComparison.Line]) -> String? {
            sentence(lines, "more than that, and by what factor", ascending: true) { 1 / $0 }
        }

        private func sentence(
            _ lines: [MachineComparison.Line], _ what: String, ascending: Bool,
            _ factor: (Double) -> Double
        ) -> String? {
            guard !lines.isEmpty else { return nil }
            let sorted = lines.sorted { ascending ? $0.least < $1.least : $0.least > $1.least }
            let named = sorted.prefix(MachineSentences.most).map { line in
                "\(name(line)) (\(factors(line, factor)))"
            }
            return "On \(all) \(what): \(named.joined(separator: ", "))\(rest(lines.count))."
        }

        func unlike(_ lines: [MachineComparison.Line]) -> String? {
            guard !lines.isEmpty else { return nil }
            let named = lines.prefix(MachineSentences.most).map { line in
                let parts = zip(machines, line.values).map { machine, value in
                    "\(Self.direction(value)) on \(machine.name)"
                }
                return "\(name(line)) (\(parts.joined(separator: ", ")))"
            }
            return "Not the same on \(all): \(named.joined(separator: ", "))\(rest(lines.count))."
        }

        private func rest(_ count: Int) -> String {
            count > MachineSentences.most ? " and \(count - MachineSentences.most) more" : ""
        }

        private func name(_ line: MachineComparison.Line) -> String {
            Text.printable(line.plan.strategy) + (line.plan.safe ? "" : ", unsafe")
        }

        private func factors(_ line: MachineComparison.Line, _ factor: (Double) -> Double) -> String
        {
            zip(machines, line.values).map { machine, value in
                "\(MachineComparison.times(value?.factor.map(factor))) on \(machine.name)"
            }.joined(separator: ", ")
        }

        private static func direction(_ value: MachineComparison.Value?) -> String {
            switch value?.comparison?.verdict {
            case .faster: "less, \(MachineComparison.times(value?.factor))"
            case .slower: "more, \(MachineComparison.times(value?.factor.map { 1 / $0 }))"
            default: "no difference shown"
            }
        }
    }
}

extension MachineComparison {
    /// `470 x`.
    static func times(_ factor: Double?) -> String {
        factor.map { Human.decimal($0, digits: $0 < 9.95 ? 2 : 3) + " x" } ?? Human.missing
    }
}

extension MachineComparison.Line {
    fileprivate func isAlways(_ verdict: Verdict) -> Bool {
        values.allSatisfy { $0?.comparison?.verdict == verdict }
    }

    /// The baseline's cost in this one's, where that is least.
    fileprivate var least: Double { values.compactMap { $0?.factor }.min() ?? 0 }
}
