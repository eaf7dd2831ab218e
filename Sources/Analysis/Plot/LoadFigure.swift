import DmaReport
import DmaStatistics

/// What the guest's conversions meet against how busy its devices are.
struct LoadFigure: Sendable {
    let name: String
    private let title: String
    private let text: String
    private let axis: Axis
    private let value: @Sendable (Row) -> Double?

    static let denied = LoadFigure(
        name: "denied-by-utilisation", title: "Denied conversions by utilisation of the devices",
        text:
            "A point for each rate of DMAs, at the share of its time that a device was in fact within one.",
        axis: Axis(label: "conversions denied", quantity: .share, scale: .linear),
        value: { $0.shareDenied })

    static let median = latency(
        "conversion-p50-by-utilisation", "p50", \.convertNsP50)
    static let tail = latency(
        "conversion-p99-by-utilisation", "p99", \.convertNsP99)

    private static func latency(
        _ name: String, _ percentile: String, _ value: @escaping @Sendable (Row) -> Double?
    ) -> LoadFigure {
        LoadFigure(
            name: name, title: "Conversion latency (\(percentile)) by utilisation of the devices",
            text: "Of the conversions that were carried out, each counted from when it was due.",
            axis: Axis(
                label: "conversion, \(percentile)", quantity: .nanoseconds, scale: .logarithmic),
            value: value)
    }

    func make(_ context: Context) throws(Figures.Omission) -> Figure {
        guard
            let selection = Selection(
                context.evidence, varying: .load, largest: [.size, .rate],
                where: { Self.utilisation($0) != nil && value($0) != nil })
        else {
            throw Figures.Omission(
                reason:
                    "no row has both a device's utilisation and conversions; measure again, with --convert-rate"
            )
        }
        let rates = selection.values
        guard rates.count > 1 else {
            throw Figures.Omission(
                reason:
                    "there is only one value, \(Dimension.load.text(rates[0])); give --dma-rate a list or a range"
            )
        }
        let (places, levels) = (selection.table(Self.utilisation), selection.table(value))
        let series = selection.strategies.map { strategy in
            let points = (places[strategy] ?? [:]).compactMap { rate, trials in
                let x = Sample(trials.values)
                let y = Sample(levels[strategy]?[rate].map { Array($0.values) } ?? [])
                return x.median.flatMap { place in
                    y.median.map {
                        Figure.Point(
                            x: place, y: $0, xInterval: x.medianInterval,
                            yInterval: y.medianInterval)
                    }
                }
            }
            return selection.series(strategy, points.sorted { $0.x < $1.x })
        }
        return Figure(
            name: name, kind: .scatter, title: title + selection.sizeNote,
            caption: context.caption(text, of: selection),
            source: context.source(of: selection, without: [.size, .load]),
            x: Axis(label: "utilisation of a device", quantity: .share, scale: .linear), y: axis,
            series: series)
    }

    /// The share of its measured time that a device was within a request: of several devices the mean.
    private static func utilisation(_ row: Row) -> Double? {
        guard !row.deviceBusy.isEmpty else { return nil }
        return row.deviceBusy.reduce(0, +) / Double(row.deviceBusy.count)
    }
}
