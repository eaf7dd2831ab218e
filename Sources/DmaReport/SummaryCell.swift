import DmaStatistics

/// One combination of the plan: all its rounds, and the medians over them.
///
/// Rounds that were cut short or failed count for nothing but the notes.
package struct SummaryCell: Sendable {
    /// A row that stands for what the plan asked for.
    package let plan: Row
    package let rows: [Row]
    package let measured: [Row]

    package init(rows: [Row]) {
        plan = rows[0]
        self.rows = rows
        // Where that is all of them, one copy serves.
        measured = rows.allSatisfy(\.isMeasured) ? rows : rows.filter(\.isMeasured)
    }

    /// The cells of `rows`, in the order in which they first appear.
    package static func cells(of rows: [Row]) -> [SummaryCell] {
        rows.grouped { row in [row.strategy] + PlanColumn.all.map { $0.text(row) } }
            .map { SummaryCell(rows: $0.elements) }
    }

    var pin: Double? { median { $0.pinNsP50 } }
    var write: Double? { median { $0.writeNsP50 } }
    var unpin: Double? { median { $0.unpinNsP50 } }
    package var syncShare: Double? { median { $0.writtenSyncShare } }
    var outsideShare: Double? { median { $0.outsideShare } }
    var throughput: Double? { median { $0.writeBytesPerS } }
    var conversions: Double? { median { $0.conversions.map { Double($0) } } }
    var convertP50: Double? { median { $0.convertNsP50 } }
    package var convertP99: Double? { median { $0.convertNsP99 } }
    package var deniedShare: Double? { median { $0.shareDenied } }

    // The longest of all rounds, since a median would hide it.
    var longestDenial: Double? { measured.compactMap(\.deniedNsMax).max() }
    var longestConvertWait: Double? { measured.compactMap(\.convertWaitNsMax).max() }
    var longestPinWait: Double? { measured.compactMap(\.pinWaitNsMax).max() }

    /// (pin + unpin) / write of a row's total times: its sync share s gives s / (1 - s).
    var cost: Double? {
        median { row in
            guard let share = row.writtenSyncShare else { return nil }
            return share / (1 - share)
        }
    }

    /// What happened to the data of its requests, in a word, in all rounds.
    var transfer: String {
        let transfers = Set((measured.isEmpty ? [plan] : measured).map(\.transfer))
        return transfers.count == 1 ? transfers.first! : "write or read"
    }

    /// Nanoseconds of one pin and one unpin.
    package var pair: Double? {
        median { row in
            guard let pin = row.pinNsP50, let unpin = row.unpinNsP50 else { return nil }
            return pin + unpin
        }
    }

    /// Violations of all rounds, since a median would hide one; nil where none was looked for.
    package var violations: UInt64? {
        let counts = measured.compactMap(\.violations)
        return counts.isEmpty ? nil : counts.reduce(0, saturatingSum)
    }
    package var isViolated: Bool {
        measured.contains { $0.status == .violation || $0.violations ?? 0 > 0 }
    }

    /// RMP entries behind the buffer; nil where requests have any size.
    var entries: UInt64? {
        guard let size = plan.sizeBytes else { return nil }
        let entry = max(1, plan.entryBytes)
        return size / entry + (size % entry == 0 ? 0 : 1)
    }

    /// Over the rounds that have a finite value.
    private func median(_ value: (Row) -> Double?) -> Double? {
        Sample(measured.compactMap(value)).median
    }
}

extension Row {
    /// What happens to the data of its requests, in a word. A real guest's go the ways they were counted.
    package var transfer: String {
        switch (direction, inRequests ?? 0 > 0, outRequests ?? 0 > 0) {
        case ("read", _, _), (nil, false, true): "read"
        case ("write", _, _), (nil, _, false): "write"
        default: "write or read"
        }
    }

    /// Whether it was measured to its end.
    package var isMeasured: Bool { status == .ok || status == .violation }

    /// Whether pins held the pages of its requests; an older file does not say that they did not.
    package var holdsItsPages: Bool { exclusion == nil || exclusion == "pins" }

    /// `syncShare` of a row with a write; without one it would be 1.
    package var writtenSyncShare: Double? {
        writeNsP50 != nil || writeBytesPerS != nil ? syncShare : nil
    }

    /// The part of the conversions asked for that was refused; also of files that are older than its column.
    package var shareDenied: Double? {
        guard let done = conversions, let denied = conversionsDenied else { return nil }
        let asked = Double(done) + Double(denied)
        return asked > 0 ? Double(denied) / asked : nil
    }
}
