import DmaReport

/// The cells of one side, each with the cell of the other that it is compared with.
struct CellPairs {
    private(set) var pairs: [(base: MeasuredCell, new: MeasuredCell)] = []
    private(set) var onlyBase: [MeasuredCell] = []
    /// Also where more than one cell of the base would do.
    private(set) var onlyNew: [MeasuredCell] = []

    /// Cells are the same that agree in everything of the plan but `free`, one of its columns.
    init(base: [MeasuredCell], new: [MeasuredCell], free: String? = nil) {
        let columns = PlanColumn.all.filter { $0.column.name != free }
        // What every row says finds the few candidates; what only some say is looked at one by one.
        let certain = columns.filter(\.column.isRequired)
        let optional = columns.filter { !$0.column.isRequired }
        func key(_ cell: MeasuredCell) -> [String] {
            (free == Self.strategy ? [] : [cell.plan.strategy])
                + certain.map { $0.text(cell.plan) }
        }
        var places: [[String]: [Int]] = [:]
        for (place, cell) in base.enumerated() where !cell.rounds.isEmpty {
            places[key(cell), default: []].append(place)
        }
        var isUsed = [Bool](repeating: false, count: base.count)
        for cell in new where !cell.rounds.isEmpty {
            let fitting = (places[key(cell)] ?? []).filter { place in
                optional.allSatisfy { $0.agrees(base[place].plan, cell.plan) }
            }
            for place in fitting { isUsed[place] = true }
            if fitting.count == 1 {
                pairs.append((base[fitting[0]], cell))
            } else {
                onlyNew.append(cell)
            }
        }
        onlyBase = base.indices.filter { !isUsed[$0] && !base[$0].rounds.isEmpty }.map { base[$0] }
    }

    static let strategy = "strategy"
}
