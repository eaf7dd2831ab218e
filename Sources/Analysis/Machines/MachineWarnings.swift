import DmaReport

/// What a reader should know before rows of several machines are believed.
enum MachineWarnings {
    static func all(_ machines: [MachineRows]) -> [String] {
        var warnings = machines.flatMap { machine in
            Warnings.broken(machine.rows).map { "\(machine.name): \($0)" }
        }
        let revisions = Tally(machines.flatMap { $0.rows.map { $0.revision ?? "unknown" } }).entries
        if revisions.count > 1 {
            warnings.append(
                "Rows of \(revisions.count) revisions of the program: what differs may be the program's."
            )
        }
        for machine in machines {
            warnings += Warnings.endings(machine.rows).map { "\(machine.name): \($0)" }
            warnings.append("\(machine.name): disturbed \(DisturbedRows.text(machine.rows)).")
        }
        return warnings
    }
}
