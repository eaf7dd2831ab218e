import DmaReport

/// What a reader should know before rows of several machines are believed.
enum MachineWarnings {
    static func all(_ machines: [MachineRows]) -> [String] {
        var warnings = machines.compactMap { machine -> String? in
            let violated = Set(
                machine.rows.filter { $0.safe && $0.violations ?? 0 > 0 }.map(\.strategy))
            guard !violated.isEmpty else { return nil }
            return
                "\(machine.name): \(violated.sorted().joined(separator: ", ")) claims safety and broke it. This is a bug."
        }
        let revisions = Tally(machines.flatMap { $0.rows.map { $0.revision ?? "unknown" } }).entries
        if revisions.count > 1 {
            warnings.append(
                "Rows of \(revisions.count) revisions of the program: what differs may be the program's."
            )
        }
        for machine in machines {
            let ended = Tally(
                machine.rows.filter { !$0.isMeasured }.map { "\($0.strategy) \($0.status)" })
            warnings += ended.lines("row").map { "\(machine.name): \($0)." }
            warnings.append("\(machine.name): disturbed \(DisturbedRows.text(machine.rows)).")
        }
        return warnings
    }
}
