import Report
import Statistics

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
        var samples: [Int: [Double: [Double]]] = [:]
        for entry in selection.entries {
            let row = context.evidence.rows[entry.row]
            for (percent, latency) in zip(percents, row.convertNsCdf) {
                // With fewer conversions beyond it than one, a percentile is the maximum by another name.
                guard (100 - percent) / 100 * Double(row.conversions ?? 0) >= 1 else { break }
                samples[entry.strategy, default: [:]][percent / 100, default: []]
                    .append(Double(latency))
            }
        }
        guard !samples.isEmpty else {
            throw Figures.Omission(reason: "no row has enough conversions; raise --convert-rate")
        }
        let row = selection.example
        return Figure(
            name: name, kind: .lines, title: "Conversion latency by percentile (CDF)",
            caption: context.caption(
                "So many of the conversions, counted from when each was due, took no longer than that; a line ends "
                    + "where a round has no conversion beyond.", of: selection),
            source: context.source(of: selection, without: []),
            x: Axis(label: "share of conversions", quantity: .share, scale: .nines),
            y: Axis(
                label: "latency of a conversion at \(Dimension.rate.text(row.convertRateHz))",
                quantity: .nanoseconds, scale: .logarithmic),
            series: samples.sorted { $0.key < $1.key }.map { strategy, samples in
                selection.series(strategy, Selection.points(samples))
            })
    }
}
