import DmaReport
import DmaStatistics

/// What pinning and unpinning costs against one dimension of the request, and, over sizes, beside the write.
struct CostFigure: Sendable {
    let name: String
    private let title: String
    private let text: String
    private let dimension: Dimension
    private let axis: @Sendable ([Double]) -> Axis
    private let showsWrite: Bool
    private let scarcity: String

    static let bySize = CostFigure(
        name: "cost-by-size", title: "Cost of pin and unpin by DMA size",
        text: "Where a line crosses that of the data, locking a DMA takes as long as moving it.",
        dimension: .size, axis: { _ in .size }, showsWrite: true,
        scarcity: "give --size a list or a range")

    static let byMisalignment = CostFigure(
        name: "cost-by-misalignment", title: "Cost of pin and unpin by misalignment",
        text: "The buffer begins so far from its natural alignment.", dimension: .misalignment,
        axis: { Axis(label: "misalignment", quantity: .bytes, scale: .steps($0)) },
        showsWrite: false, scarcity: "measure with several values of --misalign")

    static let byRanges = CostFigure(
        name: "cost-by-ranges", title: "Cost of pin and unpin by number of ranges",
        text:
            "A request of one size is scattered over so many ranges. Where a line crosses that of the data, locking it takes as long as moving it.",
        dimension: .ranges,
        axis: {
            Axis(label: "ranges of the scatter-gather list", quantity: .count, scale: .steps($0))
        },
        showsWrite: true, scarcity: "give --ranges a list or a range")

    func make(_ context: Context) throws(Figures.Omission) -> Figure {
        let evidence = context.evidence
        guard let selection = Selection(evidence, varying: dimension, where: { $0.syncNs != nil })
        else { throw Figures.Omission(reason: "no row has times of pin and unpin") }
        let values = selection.values
        guard values.count > 1 else {
            throw Figures.Omission(
                reason: "there is only one value, \(dimension.text(values[0])); \(scarcity)")
        }
        var series = selection.lines(\.syncNs)
        if showsWrite, let write = Self.write(selection) { series.append(write) }
        return Figure(
            name: name, kind: .lines,
            title: dimension == .size ? title : title + selection.sizeNote,
            caption: context.caption(text + selection.copyNote, of: selection),
            source: context.source(of: selection, without: [dimension]), x: axis(values),
            y: Axis(
                label: "pin + unpin, p50 in place", quantity: .nanoseconds, scale: .logarithmic),
            series: series)
    }

    /// Of each round the median over strategies, since the write does not depend on them.
    private static func write(_ selection: Selection) -> Figure.Series? {
        var cells: [Double: [Int: [Double]]] = [:]
        for (_, columns) in selection.table(\.writeNsP50) {
            for (x, trials) in columns {
                for (trial, value) in trials {
                    cells[x, default: [:]][trial, default: []].append(value)
                }
            }
        }
        guard !cells.isEmpty else { return nil }
        let samples = cells.mapValues { trials in trials.values.compactMap { Sample($0).median } }
        return Figure.Series(
            name: "the \(selection.example.transfer) itself", look: Look(colour: .grey),
            points: Selection.points(samples))
    }
}
