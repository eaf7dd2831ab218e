import Statistics

/// One combination of the plan: all its rounds, and the medians over them.
///
/// Rounds that were cut short or failed count for nothing but the notes.
package struct SummaryCell: Sendable {
    /// A row that stands for what the plan asked for.
    package let plan: Row
    package let rows: [Row]
    package let measured: [Row]

    init(rows: [Row]) {
        plan = rows[0]
        self.rows = rows
        measured = rows.filter { $0.status == .ok || $0.status == .violation }
    }

    /// The cells of `rows`, in the order in which they first appear.
    package static func cells(of rows: [Row]) -> [SummaryCell] {
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
    package var syncShare: Double? { median { $0.writtenSyncShare } }
    var outsideShare: Double? { median { $0.outsideShare } }
    var throughput: Double? { median { $0.writeBytesPerS } }
    var conversions: Double? { median { $0.conversions.map { Double($0) } } }
    var convertP50: Double? { median { $0.convertNsP50 } }
    package var convertP99: Double? { median { $0.convertNsP99 } }
    package var deniedShare: Double? { median { $0.deniedShare } }

    /// (pin + unpin) / write of a row's total times: its sync share s gives s / (1 - s).
    var cost: Double? {
        median { row in
            guard let share = row.writtenSyncShare else { return nil }
            return share / (1 - share)
        }
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

    /// What the plan varies besides the strategy: cells of one place can be compared.
    package var place: [String] { PlanColumn.all.map { $0.text(plan) } }

    /// RMP entries behind the buffer.
    var entries: UInt64 {
        let entry = max(1, plan.entryBytes)
        return plan.sizeBytes / entry + (plan.sizeBytes % entry == 0 ? 0 : 1)
    }

    /// Over the rounds that have a finite value.
    private func median(_ value: (Row) -> Double?) -> Double? {
        Sample(measured.compactMap(value)).median
    }
}

extension Row {
    /// `syncShare` of a row with a write; without one it would be 1.
    package var writtenSyncShare: Double? {
        writeNsP50 != nil || writeBytesPerS != nil ? syncShare : nil
    }

    /// The part of the conversions asked for that was refused.
    package var deniedShare: Double? {
        guard let done = conversions, let denied = conversionsDenied else { return nil }
        let asked = Double(done) + Double(denied)
        return asked > 0 ? Double(denied) / asked : nil
    }
}

/// What a plan may vary besides the strategy.
package struct PlanColumn: Sendable {
    package let title: String
    package let text: @Sendable (Row) -> String

    static let size = PlanColumn(title: "size") { Human.size(bytes: $0.sizeBytes) }

    package static let all: [PlanColumn] = [
        size,
        PlanColumn(title: "entry") { Human.size(bytes: $0.entryBytes) },
        PlanColumn(title: "chunk") { row in
            row.chunkBytes == row.sizeBytes ? "whole" : Human.size(bytes: row.chunkBytes)
        },
        PlanColumn(title: "ranges") { String($0.ranges) },
        PlanColumn(title: "misalign") { Human.size(bytes: $0.misalignBytes) },
        PlanColumn(title: "policy") { $0.policy },
        PlanColumn(title: "devices") { String($0.devices) },
        PlanColumn(title: "engine") { $0.engine },
        PlanColumn(title: "lanes") { String($0.lanes) },
        PlanColumn(title: "backing") { $0.backing },
        PlanColumn(title: "node") { $0.memoryNode.map { String($0) } ?? Human.missing },
        PlanColumn(title: "device CPU") { Self.list($0.deviceCpu) },
        PlanColumn(title: "vCPU CPU") { Self.list($0.vcpuCpu) },
        PlanColumn(title: "conv/s asked") { JSON($0.convertRateHz).compact },
        PlanColumn(title: "conv pages") { String($0.convertPages) },
        PlanColumn(title: "conv where") { $0.convertWhere },
    ]

    private static func list(_ cpus: [Int]) -> String {
        cpus.isEmpty ? Human.missing : cpus.map { String($0) }.joined(separator: ";")
    }
}
