import DmaReport
import DmaStatistics

/// A quantity that the page's table shows: the median over a cell's rounds, and where it lies.
struct Measure: Sendable {
    let title: String
    /// What the title leaves unsaid.
    let meaning: String
    let format: @Sendable (Double?) -> String
    let value: @Sendable (Row) -> Double?

    func sample(of cell: SummaryCell) -> Sample { Sample(cell.measured.compactMap(value)) }

    static let all: [Measure] = [
        Measure(
            title: "sync share",
            meaning:
                "(pin + unpin) / (pin + write + unpin), of total times; a read counts as a write",
            format: Human.percent, value: { $0.writtenSyncShare }),
        Measure(
            title: "pin", meaning: "p50 of a DMA request, in place, beside the write",
            format: Human.duration, value: { $0.pinNsP50 }),
        Measure(
            title: "write",
            meaning: "p50 of a DMA request: to write it, or to read it where the direction is that",
            format: Human.duration, value: { $0.writeNsP50 }),
        Measure(
            title: "unpin", meaning: "p50 of a DMA request, in place, beside the write",
            format: Human.duration, value: { $0.unpinNsP50 }),
        Measure(
            title: "hot pair", meaning: "one pin and unpin in a loop without a write",
            format: Human.duration, value: { $0.pairHotNs }),
        Measure(
            title: "conv. p50", meaning: "of the conversions carried out, from when they were due",
            format: Human.duration, value: { $0.convertNsP50 }),
        Measure(
            title: "conv. p99", meaning: "of the conversions carried out, from when they were due",
            format: Human.duration, value: { $0.convertNsP99 }),
        Measure(
            title: "denied", meaning: "share of the conversions asked for that was refused",
            format: Human.percent, value: { $0.shareDenied }),
    ]

    static let copy = Measure(
        title: "the guest's copy", meaning: "p50, out of the bounce buffer",
        format: Human.duration, value: { $0.copyNsP50 })

    /// `1.42–1.51 ms`, the unit once where both ends have the same; nil of too few rounds, and where all that is seen
    /// of it is the median.
    func interval(_ sample: Sample) -> String? {
        guard let interval = sample.medianInterval else { return nil }
        let (low, high) = (format(interval.low), format(interval.high))
        if low == high { return nil }
        let parts = [low, high].map { $0.split(separator: " ", maxSplits: 1) }
        let isAlike = parts[0].last == parts[1].last
        return "\(isAlike ? String(parts[0][0]) : low)–\(high)"
    }
}
