import DmaReport
import DmaStatistics

/// What the device gets against what the guest pays: throughput of DMA, and the slowest conversions.
enum TradeFigure {
    static let name = "throughput-against-conversions"

    static func make(_ context: Context) throws(Figures.Omission) -> Figure {
        guard
            let selection = Selection(
                context.evidence, varying: .rate, largest: [.size],
                where: { throughput($0) != nil && $0.convertNsP99 != nil })
        else {
            throw Figures.Omission(
                reason: "no row has times of both DMAs and conversions; give --convert-rate")
        }
        let throughputs = selection.table(throughput)
        let latencies = selection.table(\.convertNsP99)
        let rates = selection.values
        let series = selection.strategies.map { strategy in
            selection.series(
                strategy,
                // What neither table has was never measured.
                (throughputs[strategy] ?? [:]).sorted { $0.key < $1.key }.compactMap {
                    rate, trials in
                    let x = Sample(trials.values)
                    let y = Sample(latencies[strategy]?[rate].map { Array($0.values) } ?? [])
                    guard let middle = x.median, let level = y.median else { return nil }
                    return Figure.Point(
                        x: middle, y: level, xInterval: x.medianInterval,
                        yInterval: y.medianInterval, step: rates.firstIndex(of: rate) ?? 0)
                })
        }
        let names = rates.map { $0.isFinite ? Human.grouped(whole($0)) : "max" }
        let points =
            rates.count == 1
            ? "Best is right and low."
            : "From the smallest points to the largest: \(names.joined(separator: ", ")) conversions/s. Best is right and low."
        return Figure(
            name: name, kind: .scatter,
            title: "DMA throughput against conversion latency" + selection.sizeNote,
            caption: context.caption(points, of: selection),
            source: context.source(of: selection, without: [.size, .rate]),
            x: Axis(
                label:
                    "DMA throughput of a device: size / p50 of pin, \(selection.example.transfer) and unpin",
                quantity: .bytesPerSecond, scale: .linear),
            y: Axis(label: "conversion, p99", quantity: .nanoseconds, scale: .logarithmic),
            series: series)
    }

    private static func throughput(_ row: Row) -> Double? {
        guard let time = row.dmaNsP50, time > 0, row.writeNsP50 != nil, let size = row.sizeBytes
        else { return nil }
        return Double(size) / (time / 1e9)
    }
}
