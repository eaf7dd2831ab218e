import DmaReport

/// A figure laid out on a canvas, as commands of gnuplot.
///
/// All places are worked out here, so that labels can keep clear of each other; gnuplot draws in the unit square. Text
/// goes through `quoted` alone, between single quotes, in which gnuplot substitutes nothing, and terminals are
/// `noenhanced`, so that no character of it is mark-up.
struct Drawing {
    let figure: Figure
    let x: Ruler
    let y: Ruler
    /// Where any of the lines has a point, ascending.
    let columns: [Double]
    private let caption: [String]
    private let source: [String]
    private let title: [String]

    /// In pixels of a screen; PNG has twice as many.
    private let width = 960.0
    private let left: Double
    private let right: Double
    private let top: Double
    private let plotHeight: Double
    private let bottom: Double
    private var height: Double { top + plotHeight + bottom }
    private var plotWidth: Double { width - left - right }

    private static let lineHeight = 16.0
    private static let entryHeight = 17.0
    private static let ticLimit = 32

    init(_ figure: Figure) {
        self.figure = figure
        let points = figure.series.flatMap(\.points)
        x = Ruler(
            figure.x,
            over: points.flatMap { [$0.x] + ($0.xInterval.map { [$0.low, $0.high] } ?? []) })
        y = Ruler(
            figure.y,
            over: points.flatMap { [$0.y] + ($0.yInterval.map { [$0.low, $0.high] } ?? []) })
        columns = Set(points.map(\.x)).sorted()
        title = Text.wrapped(figure.title, width: 90)
        caption = Text.wrapped(figure.caption, width: 142)
        source = figure.source.split(separator: "\n").flatMap {
            Text.wrapped(String($0), width: 165)
        }
        let isBars = figure.kind == .bars
        let widest =
            y.tics.compactMap(\.text).map { Self.fitted($0, Self.ticLimit).count }.max() ?? 0
        left = 44 + 7.5 * Double(widest)
        right = isBars ? 110 : 200
        top = 24 + Self.lineHeight * Double(title.count + caption.count) + 24
        plotHeight = max(
            isBars ? 200 : 380, Self.entryHeight * Double(figure.series.count + 1),
            (isBars ? 26 : 0) * Double(y.tics.count))
        bottom = 62 + 14 * Double(source.count)
    }

    /// What gnuplot reads from standard input.
    func script(_ format: Gnuplot.Format) -> String {
        (head(format) + texts() + axes() + legend() + data() + ["plot " + plots()])
            .joined(separator: "\n") + "\n"
    }

    // MARK: Frame

    private func head(_ format: Gnuplot.Format) -> [String] {
        let (wide, high) = (Int(width), Int(height))
        let kind =
            switch format {
            case .svg: "svg size \(wide),\(high) linewidth 1"
            // Its points are of 72 to the inch, its pixels of 96.
            case .png:
                "pngcairo size \(2 * wide),\(2 * high) fontscale 1.5 linewidth 2 pointscale 2"
            }
        return [
            "set encoding utf8",
            "set terminal \(kind) noenhanced font 'sans-serif,13' background '#ffffff'",
            "set lmargin at screen \(left / width)",
            "set rmargin at screen \(1 - right / width)",
            "set tmargin at screen \(1 - top / height)",
            "set bmargin at screen \(bottom / height)",
            "set xrange [0:1]", "set yrange [0:1]", "unset key", "set errorbars 0.6",
        ]
    }

    private func texts() -> [String] {
        var commands: [String] = []
        func text(_ text: String, x: Double, y: Double, size: Int, colour: String) {
            commands.append(
                "set label \(Self.quoted(text)) at screen \(x / width),\(1 - y / height) left "
                    + "font 'sans-serif,\(size)' textcolor rgb '\(colour)'")
        }
        var line = 22.0
        for part in title {
            text(part, x: 16, y: line, size: 17, colour: "#000000")
            line += Self.lineHeight + 4
        }
        for part in caption {
            text(part, x: 16, y: line, size: 12, colour: "#333333")
            line += Self.lineHeight
        }
        line = height - 14 * Double(source.count) - 2
        for part in source {
            text(part, x: 16, y: line, size: 10, colour: "#666666")
            line += 14
        }
        return commands
    }

    private func axes() -> [String] {
        func tics(_ ruler: Ruler) -> String {
            ruler.tics.map { tic in
                tic.text.map { "\(Self.ticText(Self.fitted($0, Self.ticLimit))) \(tic.place)" }
                    ?? "'' \(tic.place) 1"
            }.joined(separator: ", ")
        }
        return [
            "set border 3 linecolor rgb '#444444'",
            "set tics out nomirror scale 0.8,0.4",
            "set xtics (\(tics(x)))", "set ytics (\(tics(y)))",
            "set grid xtics \(figure.kind == .bars ? "noytics" : "ytics") linetype 1 linecolor rgb '#E0E0E0' "
                + "linewidth 0.7 dashtype solid",
            // Not as labels of the axes, whose places depend on tics and terminal: what is off the canvas is not drawn.
            "set label \(Self.quoted(figure.x.label)) at screen "
                + "\((left + plotWidth / 2) / width),\((bottom - 44) / height) center",
            "set label \(Self.quoted(figure.y.label)) at screen \(18 / width),"
                + "\((bottom + plotHeight / 2) / height) center rotate by 90",
        ]
    }

    // MARK: Legend

    /// A name for each series, in the order of their ends and beside them, as far as names keep clear of each other.
    private func legend() -> [String] {
        let ends = figure.series.map { series -> (x: Double, y: Double) in
            guard let last = series.points.last else { return (1, 0) }
            return (x.place(last.x), y.place(last.y))
        }
        let order =
            figure.kind == .bars
            ? Array(figure.series.indices)
            : figure.series.indices.sorted { ends[$0].y > ends[$1].y }
        let wanted = order.map { figure.kind == .bars ? plotHeight : ends[$0].y * plotHeight }
        let levels = Self.spread(wanted, distance: Self.entryHeight, below: plotHeight)
        return zip(order, levels).flatMap { index, level -> [String] in
            let series = figure.series[index]
            let place = level / plotHeight
            let at = "at graph \(1 + 30 / plotWidth),\(place) left"
            let colour = "rgb '\(series.look.colour.rawValue)'"
            let name =
                "set label \(Self.quoted(Self.fitted(series.name))) \(at) offset 1.4,0 textcolor rgb '#000000'"
            let mark =
                figure.kind == .bars
                ? "set label '' \(at) point pointtype 5 pointsize 1.6 linecolor \(colour)"
                : series.look.shape.map { _ in
                    "set label '' \(at) point \(Self.point(series.look)) linecolor \(colour)"
                } ?? ""
            guard figure.kind == .lines else { return [name, mark] }
            return [
                name, mark,
                "set arrow from graph \(ends[index].x),\(ends[index].y) to graph "
                    + "\(1 + 24 / plotWidth),\(place) nohead linecolor \(colour) linewidth 0.6 "
                    + "dashtype (2,3)",
            ]
        }.filter { !$0.isEmpty }
    }

    /// Levels in the order given, from the top, at least so far apart, and as near to those wanted as one pass each way
    /// brings them.
    static func spread(_ wanted: [Double], distance: Double, below top: Double) -> [Double] {
        var levels = wanted
        var limit = top
        for index in levels.indices {
            levels[index] = min(levels[index], limit)
            limit = levels[index] - distance
        }
        var floor = 0.0
        for index in levels.indices.reversed() {
            levels[index] = max(levels[index], floor)
            floor = levels[index] + distance
        }
        return levels
    }
}
