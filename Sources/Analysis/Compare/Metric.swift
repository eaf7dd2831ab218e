import DmaReport

/// A column of measurements that can be compared.
public struct Metric: Sendable {
    let column: Column
    /// Whether more of it is better.
    let isRate: Bool

    public var name: String { column.name }

    /// Every numeric column of which more or less is better: not what was asked for, nor what a guest chose to send, nor
    /// where buffers came to lie.
    public static let all: [Metric] = {
        let asked = ["schema", "round", "position"] + PlanColumn.all.map(\.column.name)
        let facts = [
            "segments_p50", "segments_p99", "segments_max", "depth_p50", "depth_max",
            "shared_pages",
            "shared_lines", "cache_merges",
        ]
        let rates = [
            "ops", "write_bytes_per_s", "conversions", "cache_hits", "in_requests", "in_bytes",
            "out_requests", "out_bytes",
        ]
        return Schema.columns.filter {
            ["integer", "number"].contains($0.type) && !(asked + facts).contains($0.name)
        }.map { Metric(column: $0, isRate: rates.contains($0.name)) }
    }()

    /// What a DMA takes from pin to unpin.
    static let standard = all.first { $0.name == "dma_ns_p50" }!

    /// Nil where the row has no value that a measurement can have.
    func value(_ row: Row) -> Double? {
        guard case .number(let digits) = column.value(of: row), let value = Double(digits),
            value >= 0
        else { return nil }
        return value
    }

    /// The step in which its values are counted: one, of what is counted; the clock's, as the rows tell it, of what is
    /// read from it once; nil of everything else.
    func step(_ rows: [Row]) -> Double? {
        if column.type == "integer" { return column.unit.isEmpty ? 1 : nil }
        guard column.unit == "ns", ["_p50", "_p99", "_max"].contains(where: name.hasSuffix) else {
            return nil
        }
        return rows.compactMap(\.clockStepNs).filter { $0 > 0 }.max()
    }

    func text(_ value: Double?) -> String {
        guard let value else { return Human.missing }
        return switch column.unit {
        case "ns": Human.duration(value)
        case "B/s": Human.throughput(value)
        case "" where name.hasSuffix("_share"): Human.percent(value)
        default: Human.decimal(value, digits: 4, trimmed: true)
        }
    }
}
