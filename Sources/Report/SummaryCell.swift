import Statistics

/// One combination of the plan: all its rounds, and the medians over them.
///
/// Rounds that were cut short or failed count for nothing but the notes.
struct SummaryCell: Sendable {
    /// A row that stands for what the plan asked for.
    let plan: Row
    let measured: [Row]

    init(rows: [Row]) {
        plan = rows[0]
        measured = rows.filter { $0.status == .ok || $0.status == .violation }
    }

    /// The cells of `rows`, in the order in which they first appear.
    static func cells(of rows: [Row]) -> [SummaryCell] {
        var order: [[String]] = []
        var groups: [[String]: [Row]] = [:]
        for row in rows {
            let key = [row.strategy] + PlanColumn.all.map { $0.text(row) }
            if groups[key] == nil { order.append(key) }
            groups[key, default: []].append(row)
        }
        return order.compactMap { groups[$0] }.map(SummaryCell.init)
    }

    var pin: Double? { median { $0.pinNsP50 } }
    var write: Double? { median { $0.writeNsP50 } }
    var unpin: Double? { median { $0.unpinNsP50 } }
    var syncShare: Double? { median { hasWrite($0) ? $0.syncShare : nil } }
    var outsideShare: Double? { median { $0.outsideShare } }
    var throughput: Double? { median { $0.writeBytesPerS } }
    var conversions: Double? { median { $0.conversions.map { Double($0) } } }
    var convertP50: Double? { median { $0.convertNsP50 } }
    var convertP99: Double? { median { $0.convertNsP99 } }

    /// (pin + unpin) / write of a row's total times: its sync share s gives s / (1 - s).
    var cost: Double? {
        median { row in
            guard hasWrite(row), let share = row.syncShare else { return nil }
            return share / (1 - share)
        }
    }

    /// Nanoseconds of one pin and one unpin.
    var pair: Double? {
        median { row in
            guard let pin = row.pinNsP50, let unpin = row.unpinNsP50 else { return nil }
            return pin + unpin
        }
    }

    /// The part of the conversions asked for that was refused.
    var deniedShare: Double? {
        median { row in
            guard let done = row.conversions, let denied = row.conversionsDenied else { return nil }
            let asked = Double(done) + Double(denied)
            return asked > 0 ? Double(denied) / asked : nil
        }
    }

    /// Violations of all rounds, since a median would hide one; nil where none was looked for.
    var violations: UInt64? {
        let counts = measured.compactMap(\.violations)
        return counts.isEmpty ? nil : counts.reduce(0, saturatingSum)
    }
    var isViolated: Bool { measured.contains { $0.status == .violation || $0.violations ?? 0 > 0 } }

    /// RMP entries behind the buffer.
    var entries: UInt64 {
        let entry = max(1, plan.entryBytes)
        return plan.sizeBytes / entry + (plan.sizeBytes % entry == 0 ? 0 : 1)
    }

    private func hasWrite(_ row: Row) -> Bool { row.writeNsP50 != nil || row.writeBytesPerS != nil }

    /// Over the rounds that have a finite value.
    private func median(_ value: (Row) -> Double?) -> Double? {
        Sample(measured.compactMap(value)).median
    }
}
