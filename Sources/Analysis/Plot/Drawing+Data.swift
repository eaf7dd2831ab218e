/// The points of a figure as data blocks of gnuplot, and how they are drawn.
extension Drawing {
    func data() -> [String] {
        figure.series.enumerated().flatMap { index, series in
            let points =
                switch figure.kind {
                case .lines: line(series)
                case .scatter:
                    series.points.map {
                        "\(x.place($0.x)) \(y.place($0.y)) \(1 + 0.5 * Double($0.step))"
                    }
                case .bars: bars(index)
                }
            return block("points\(index)", points)
                + block(
                    "x\(index)",
                    series.points.compactMap { point in
                        point.xInterval.map {
                            "\(x.place(point.x)) \(y.place(point.y)) \(x.place($0.low)) \(x.place($0.high))"
                        }
                    })
                + block(
                    "y\(index)",
                    series.points.compactMap { point in
                        point.yInterval.map {
                            "\(x.place(point.x)) \(y.place(point.y)) \(y.place($0.low)) \(y.place($0.high))"
                        }
                    })
        }
    }

    /// With an empty line, which interrupts the line, where other series have a point and this one has none.
    private func line(_ series: Figure.Series) -> [String] {
        var lines: [String] = []
        var next = series.points.makeIterator()
        var point = next.next()
        for place in columns {
            if let known = point, known.x == place {
                lines.append("\(x.place(known.x)) \(y.place(known.y))")
                point = next.next()
            } else if !lines.isEmpty, point != nil {
                lines.append("")
            }
        }
        return lines
    }

    /// From the end of the part before it to its own end.
    private func bars(_ index: Int) -> [String] {
        let half = 0.34 / Double(max(1, y.tics.count))
        return figure.series[index].points.enumerated().map { place, point in
            let start = index == 0 ? 0 : x.place(figure.series[index - 1].points[place].x)
            let level = y.place(point.y)
            return
                "\(x.place(point.x)) \(level) \(start) \(x.place(point.x)) \(level - half) \(level + half)"
        }
    }

    private func block(_ name: String, _ lines: [String]) -> [String] {
        lines.isEmpty ? [] : ["$\(name) << END"] + lines + ["END"]
    }

    /// Parts of bars or intervals first, then lines, then points, so that nothing small is covered.
    func plots() -> String {
        var (bars, intervals, lines, points): ([String], [String], [String], [String]) = (
            [], [], [], []
        )
        for (index, series) in figure.series.enumerated() where !series.points.isEmpty {
            let colour = "linecolor rgb '\(series.look.colour.rawValue)'"
            // Half transparent, since those of several series lie one over another.
            let faint =
                figure.kind == .bars ? "#000000" : "#80" + series.look.colour.rawValue.dropFirst()
            for direction in ["x", "y"] where hasIntervals(series, direction) {
                intervals.append(
                    "$\(direction)\(index) using 1:2:3:4 with \(direction)errorbars pointtype 0 "
                        + "linecolor rgb '\(faint)' linewidth 1")
            }
            let source = "$points\(index) using 1:2"
            if figure.kind == .bars {
                bars.append("\(source):3:4:5:6 with boxxyerror \(colour) fillstyle solid border")
                continue
            }
            let width = figure.kind == .lines ? 1.8 : 0.8
            lines.append(
                "\(source) with lines \(colour) linewidth \(width) \(Self.dash(series.look.dash))")
            guard series.look.shape != nil else { continue }
            let size = figure.kind == .scatter ? "3" : "(1)"
            points.append(
                "\(source):\(size) with points \(Self.point(series.look, size: "variable")) \(colour)"
            )
        }
        return (bars + intervals + lines + points).joined(separator: ", ")
    }

    private func hasIntervals(_ series: Figure.Series, _ direction: String) -> Bool {
        series.points.contains { (direction == "x" ? $0.xInterval : $0.yInterval) != nil }
    }
}
