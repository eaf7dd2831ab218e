import DmaReport

/// The rows that can be drawn, with what they have in common looked up once.
struct Evidence {
    /// A row that was measured to its end.
    struct Entry {
        /// Its place among all rows.
        let row: Int
        let strategy: Int
        /// Equal in rows of the same round of the same run.
        let trial: Int
        /// Equal where all is equal that no figure varies.
        let setting: Int
        let variant: Variant
    }

    /// What only some strategies have.
    struct Variant: Hashable {
        /// Nil where the pool is as large as the request, as it is unless somebody asks.
        let poolBytes: UInt64?
        let onFault: String?
        let cacheBytes: UInt64?
    }

    let rows: [Row]
    let entries: [Entry]
    /// In order of appearance, as the rows spell them.
    let strategies: [String]
    let settings: [Setting]
    /// By the index of the strategy; what its name is followed by.
    private let marks: [String]
    private let looks: StrategyLooks
    /// Rows that hold no whole measurement: how many, and why.
    let incomplete: [String]

    init(_ rows: [Row], looks: StrategyLooks) {
        var (strategies, trials, settings) = (
            Numbering<String>(), Numbering<Trial>(), Numbering<Setting>()
        )
        var entries: [Entry] = []
        var (unsafe, violated) = (Set<Int>(), Set<Int>())
        var endings: [String: Int] = [:]
        for index in rows.indices {
            let strategy = strategies.number(rows[index].strategy)
            switch rows[index].status {
            case .ok: break
            case .violation: violated.insert(strategy)
            case .interrupted: endings["interrupted", default: 0] += 1
            case .failed: endings["failed", default: 0] += 1
            case .unavailable: endings["unavailable", default: 0] += 1
            }
            guard rows[index].status == .ok || rows[index].status == .violation else { continue }
            guard rows[index].sizeBytes != nil else {
                endings["of a real guest or a trace, whose requests have any size", default: 0] += 1
                continue
            }
            if !rows[index].safe { unsafe.insert(strategy) }
            let pool = rows[index].poolBytes
            entries.append(
                Entry(
                    row: index, strategy: strategy,
                    trial: trials.number(Trial(run: rows[index].run, round: rows[index].round)),
                    setting: settings.number(Setting(rows[index])),
                    variant: Variant(
                        poolBytes: pool == rows[index].sizeBytes ? nil : pool,
                        onFault: rows[index].onFault, cacheBytes: rows[index].cacheBytes)))
        }
        self.rows = rows
        self.entries = entries
        self.looks = looks
        self.strategies = strategies.values
        self.settings = settings.values
        marks = strategies.values.indices.map {
            violated.contains($0) ? " (violated)" : unsafe.contains($0) ? " (unsafe)" : ""
        }
        incomplete = endings.sorted { $0.key < $1.key }.map {
            "\($1 == 1 ? "1 row" : "\($1) rows") \($0)"
        }
    }

    func row(_ entry: Entry) -> Row { rows[entry.row] }

    /// The name of a strategy, and whether it may be trusted to keep private pages private.
    func label(_ strategy: Int) -> String { strategies[strategy] + marks[strategy] }
    func look(_ strategy: Int) -> Look {
        looks.look(of: strategies[strategy], sound: marks[strategy].isEmpty)
    }

    private struct Trial: Hashable {
        let run: String
        let round: Int
    }
}

/// What a run fixes, and no figure varies.
struct Setting: Hashable {
    static let names = [
        "environment", "policy", "entry", "chunk", "devices", "engine", "lanes", "backing",
        "pages a conversion", "conversions are", "converted to", "enforce", "buffers", "arrivals",
        "depth", "idle", "direction", "reads by",
    ]
    let values: [String]

    init(_ row: Row) {
        values = [
            row.env, row.policy, Human.size(bytes: row.entryBytes),
            row.chunkBytes == row.sizeBytes ? "whole request" : Human.size(bytes: row.chunkBytes),
            String(row.devices), row.engine ?? "", "\(row.lanes ?? 1)", row.backing ?? "",
            String(row.convertPages), row.convertWhere, row.convertTo ?? "private",
            row.enforce ?? "none", row.buffers ?? "disjoint", row.dmaArrivals ?? "poisson",
            "\(row.depth ?? 1)", Human.duration(row.idleNs ?? 0),
            row.direction ?? "write", row.readEngine ?? "",
        ]
    }
}

/// Small numbers for values, in order of appearance.
struct Numbering<Value: Hashable> {
    private(set) var values: [Value] = []
    private var numbers: [Value: Int] = [:]

    mutating func number(_ value: Value) -> Int {
        if let number = numbers[value] { return number }
        numbers[value] = values.count
        values.append(value)
        return values.count - 1
    }
}
