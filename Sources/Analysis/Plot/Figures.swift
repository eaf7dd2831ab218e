import DmaReport

/// All pictures that a file of rows has the data for.
public struct Figures: Sendable {
    public let drawn: [Figure]
    /// What there is no data for, and why: a line each.
    public let omitted: [String]

    /// Why a figure cannot be drawn.
    struct Omission: Error {
        let reason: String
    }

    /// `sources` are the names of the files that `rows` come from; `strategies` are those to show, or nil for all.
    public init(
        of rows: [Row], sources: [String], strategies: [String]? = nil, looks: StrategyLooks
    ) {
        var rows = rows
        var notes: [String] = []
        if let strategies {
            let others = Set(rows.map(\.strategy)).subtracting(strategies)
            rows.removeAll { others.contains($0.strategy) }
            if !others.isEmpty {
                notes.append("strategies " + others.sorted().joined(separator: ", "))
            }
        }
        let context = Context(Evidence(rows, looks: looks), sources: sources, leftOut: notes)
        var (drawn, omitted): ([Figure], [String]) = ([], [])
        for (name, make) in Self.makers {
            do throws(Omission) {
                drawn.append(try make(context))
            } catch {
                omitted.append("\(name): \(error.reason)")
            }
        }
        (self.drawn, self.omitted) = (drawn, omitted)
    }

    private typealias Maker = @Sendable (Context) throws(Omission) -> Figure

    /// In the order in which a reader wants them.
    private static let makers: [(name: String, make: Maker)] = [
        (
            CostFigure.bySize.name,
            { context throws(Omission) in try CostFigure.bySize.make(context) }
        ),
        (ShareFigure.name, { context throws(Omission) in try ShareFigure.make(context) }),
        (TradeFigure.name, { context throws(Omission) in try TradeFigure.make(context) }),
        (LatencyFigure.name, { context throws(Omission) in try LatencyFigure.make(context) }),
        (
            LoadFigure.denied.name,
            { context throws(Omission) in try LoadFigure.denied.make(context) }
        ),
        (
            LoadFigure.median.name,
            { context throws(Omission) in try LoadFigure.median.make(context) }
        ),
        (LoadFigure.tail.name, { context throws(Omission) in try LoadFigure.tail.make(context) }),
        (
            CostFigure.byMisalignment.name,
            { context throws(Omission) in try CostFigure.byMisalignment.make(context) }
        ),
        (
            CostFigure.byRanges.name,
            { context throws(Omission) in try CostFigure.byRanges.make(context) }
        ),
        (LongLivedFigure.name, { context throws(Omission) in try LongLivedFigure.make(context) }),
        (BounceFigure.name, { context throws(Omission) in try BounceFigure.make(context) }),
    ]
}

/// What every figure of a set says below its data.
struct Context {
    let evidence: Evidence
    private let sources: [String]
    private let leftOut: [String]

    init(_ evidence: Evidence, sources: [String], leftOut: [String]) {
        self.evidence = evidence
        self.sources = sources
        self.leftOut = leftOut
    }

    /// What is seen, how exact it is, and which rows it does not show.
    func caption(_ text: String, of selection: Selection) -> String {
        let rounds = selection.roundCounts
        let count =
            rounds.count == 1
            ? "\(rounds.upperBound)" : "\(rounds.lowerBound) to \(rounds.upperBound)"
        let intervals =
            rounds.upperBound < 6
            ? "too few for intervals"
            : rounds.lowerBound < 6 ? "with 95 % intervals from six on" : "with 95 % intervals"
        let exactness =
            rounds == 1...1
            ? "One round, \(intervals)." : "Medians of \(count) rounds, \(intervals)."
        let others = leftOut + selection.leftOut + evidence.incomplete
        return [
            text, exactness, others.isEmpty ? "" : "Left out: \(others.joined(separator: "; ")).",
        ]
        .filter { !$0.isEmpty }.joined(separator: " ")
    }

    /// What was held fixed, and where it was measured. What the figure itself varies or tells is among `told`.
    func source(of selection: Selection, without told: [Dimension]) -> String {
        let row = selection.example
        // A closed loop is the usual one.
        let usual: [Dimension] = row.dmaRateHz == nil ? [.load] : []
        let dimensions = Dimension.allCases.filter { !told.contains($0) && !usual.contains($0) }
            .map { $0.text($0.value(row)) }
        let devices = row.devices == 1 ? "1 device" : "\(row.devices) devices"
        let setting =
            dimensions + [
                "conversions of \(row.convertPages == 1 ? "1 page" : "\(row.convertPages) pages") "
                    + "\(row.convertWhere), \(row.policy)", devices,
            ] + row.engines + [
                row.backing ?? Human.missing, "\(Human.size(bytes: row.entryBytes)) entries",
            ]
        let reasons = Set(selection.entries.flatMap { evidence.rows[$0.row].noisy }).sorted()
        let noisy = selection.entries.count { !evidence.rows[$0.row].noisy.isEmpty }
        let runs = Set(selection.entries.map { evidence.rows[$0.row].run }).sorted()
        var origin = ["\(sources.joined(separator: ", "))", "env \(row.env)"]
        origin.append(
            "run \(runs.prefix(2).joined(separator: ", "))\(runs.count > 2 ? ", ..." : "")")
        if noisy > 0 {
            origin.append(
                "noisy (\(reasons.joined(separator: ", "))): \(noisy) of \(selection.entries.count) rows"
            )
        }
        return setting.joined(separator: "; ") + "\n" + origin.joined(separator: "; ")
    }
}

extension Row {
    /// Time to pin and unpin a DMA request, in place, in nanoseconds; the sum of two medians.
    var syncNs: Double? {
        guard let pinNsP50, let unpinNsP50 else { return nil }
        return pinNsP50 + unpinNsP50
    }

    /// How devices moved the data, and which way where that is not said by it.
    var engines: [String] {
        let writes = "engine \(engine ?? Human.missing)"
        guard let direction, let readEngine else { return [writes] }
        let reads = "reads by \(readEngine)"
        return direction == "read" ? [reads] : [direction, writes, reads]
    }

    /// Whether the guest copied what the device wrote, out of a pool.
    var isCopied: Bool { poolBytes != nil }
}

extension Axis {
    static let size = Axis(label: "DMA size", quantity: .bytes, scale: .logarithmic)
}
