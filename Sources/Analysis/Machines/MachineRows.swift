import DmaReport

/// What one machine measured.
struct MachineRows: Sendable {
    /// By which tables and sentences name it: A, B, C, after Z 27 and so on.
    let name: String
    let machine: Machine
    let rows: [Row]
    let cells: MeasuredCells

    /// Each machine that the rows name, in their order.
    static func all(_ sources: [ReportSource]) -> [MachineRows] {
        let rows = Dictionary(grouping: sources.flatMap(\.file.rows), by: \.env)
        return Machine.of(sources).enumerated().map { index, machine in
            let name = index < 26 ? String(UnicodeScalar(UInt8(65 + index))) : "\(index + 1)"
            return MachineRows(name: name, machine: machine, rows: rows[machine.env] ?? [])
        }
    }

    private init(name: String, machine: Machine, rows: [Row]) {
        self.name = name
        self.machine = machine
        self.rows = DistinctRows(rows.map(Self.withoutPlace)).rows
        cells = MeasuredCells(self.rows)
    }

    /// Which processors and which memory a run was given belongs to the machine, and is no choice of the plan that
    /// another machine could have made.
    private static func withoutPlace(_ row: Row) -> Row {
        var row = row
        (row.deviceCpu, row.vcpuCpu, row.memoryNode) = ([], [], nil)
        return row
    }

    /// The name with the processor's model, where anybody says it.
    var title: String { machine.model.map { "\(name) (\($0))" } ?? "\(name) (\(machine.env))" }

    var runCount: Int { Set(rows.filter(\.isMeasured).map(\.run)).count }
}
