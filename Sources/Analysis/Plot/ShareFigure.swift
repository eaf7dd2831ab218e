import DmaReport
import DmaStatistics

/// How a DMA's time divides into pin, unpin and write.
enum ShareFigure {
    static let name = "sync-share"

    static func make(_ context: Context) throws(Figures.Omission) -> Figure {
        let evidence = context.evidence
        guard
            let selection = Selection(
                evidence, varying: nil, largest: [.size], where: { parts($0) != nil })
        else { throw Figures.Omission(reason: "no row has times of pin, write and unpin") }
        let pin = selection.lines { parts($0)?.pin }
        let sync = selection.lines { parts($0).map { $0.pin + $0.unpin } }
        // The largest share on top.
        let order = sync.indices.sorted { sync[$0].points[0].y > sync[$1].points[0].y }
        let names = order.map { index in
            "\(sync[index].name)  \(Human.percent(sync[index].points[0].y))"
        }
        func series(_ name: String, _ colour: Look.Colour, _ end: (Int) -> Figure.Point)
            -> Figure.Series
        {
            Figure.Series(
                name: name, look: Look(colour: colour),
                points: order.enumerated().map { place, index in
                    let point = end(index)
                    return Figure.Point(
                        x: point.y, y: Double(place), xInterval: point.yInterval, yInterval: nil)
                })
        }
        let size = Human.size(bytes: selection.example.sizeBytes)
        let transfer = selection.example.transfer
        return Figure(
            name: name, kind: .bars,
            title: "Pin, unpin and \(transfer) as shares of a DMA of \(size)",
            caption: context.caption(
                "Beside each name the share of pin and unpin together: of the medians (p50) of a row."
                    + selection.copyNote,
                of: selection),
            source: context.source(of: selection, without: [.size]),
            x: Axis(label: "share of the DMA", quantity: .share, scale: .linear),
            y: Axis(label: "", quantity: .count, scale: .names(names)),
            // Each part ends where the next one begins.
            series: [
                series("pin", .blue) { index in
                    var point = pin[index].points[0]
                    point.yInterval = nil
                    return point
                },
                series("unpin", .orange) { sync[$0].points[0] },
                series(transfer, .lightGrey) { _ in
                    Figure.Point(x: 0, y: 1, xInterval: nil, yInterval: nil)
                },
            ])
    }

    private static func parts(_ row: Row) -> (pin: Double, unpin: Double)? {
        guard let pin = row.pinNsP50, let write = row.writeNsP50, let unpin = row.unpinNsP50,
            case let whole = pin + write + unpin, whole > 0, whole.isFinite
        else { return nil }
        return (pin / whole, unpin / whole)
    }
}
