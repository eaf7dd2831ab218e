import DmaReport
import DmaStatistics

/// The distribution of conversion latencies, percentiles along the axis so that the tail is seen.
enum LatencyFigure {
    static let name = "conversion-latency"

    static func make(_ context: Context) throws(Figures.Omission) -> Figure {
        let percents = Row.distributionPercents
        guard
            let selection = Selection(
                context.evidence, varying: nil, largest: [.size, .rate],
                where: { $0.convertNsCdf.count == percents.count && ($0.conversions ?? 0) > 0 })
        else {
            throw Figures.Omission(
                reason: "no row has the column convert_ns_cdf; measure again, with --convert-rate")
        }
        // By strategy, then by the share of conversions.
        var samples: [Int: [Double: [Double]]] = [:]
        for (strategy, entries) in Dictionary(grouping: selection.entries, by: \.strategy) {
            let rows = entries.map { context.evidence.rows[$0.row] }
            let fewest = rows.compactMap(\.conversions).min() ?? 0
            for (place, percent) in percents.enumerated() {
                // With less than one conversion beyond it, a percentile is the maximum by another name.
                guard (100 - percent) / 100 * Double(fewest) >= 1 else { break }
                samples[strategy, default: [:]][percent / 100] = rows.map {
                    Double($0.convertNsCdf[place])
                }
            }
        }
        guard !samples.isEmpty else {
            throw Figures.Omission(reason: "no row has enough conversions; raise --convert-rate")
        }
        let (row, rate) = (selection.example, Dimension.rate)
        return Figure(
            name: name, kind: .lines,
            title: "Conversion latency by percentile (CDF)" + selection.sizeNote,
            caption: context.caption(
                "So many of the conversions, counted from when each was due, took no longer than that; a line ends "
                    + "where a round has no conversion beyond.", of: selection),
            source: context.source(of: selection, without: []),
            x: Axis(label: "share of conversions", quantity: .share, scale: .nines),
            y: Axis(
                label: "latency of a conversion at \(rate.text(rate.value(row)))",
                quantity: .nanoseconds, scale: .logarithmic),
            series: samples.sorted { $0.key < $1.key }.map { strategy, samples in
                // Of all lines together, more intervals than these would hide the lines.
                let points = Selection.points(samples).map { point in
                    var point = point
                    if !Ruler.nines.contains(where: { abs($0 - point.x) < 1e-9 }) {
                        point.yInterval = nil
                    }
                    return point
                }
                return selection.series(strategy, points)
            })
    }
}
