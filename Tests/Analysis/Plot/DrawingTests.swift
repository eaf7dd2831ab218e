import DmaReport
import Testing

@testable import Analysis

/// Pictures by what is in them: a parser sees the lines, the texts and the units of the figure.
@Suite struct DrawingTests {
    /// Every figure there is, from rows that have all data.
    private static let figures: [Figure] = {
        let shapes: [(size: UInt64, misalignment: UInt64, ranges: Int)] = [
            (4096, 0, 1), (1 << 20, 0, 1), (1 << 20, 4096, 1), (1 << 20, 0, 8),
        ]
        var rows: [Row] = []
        for round in 1...6 {
            for (place, strategy) in ["none", "rangetree", "longlived", "bounce"].enumerated() {
                for shape in shapes {
                    var row = row(
                        strategy, round: round, size: shape.size, safe: place > 0,
                        pin: 40 + 10 * Double(place * round), write: Double(shape.size) / 10,
                        unpin: strategy == "longlived" ? 20 : 60)
                    (row.misalignBytes, row.ranges) = (shape.misalignment, shape.ranges)
                    (row.setupPinNs, row.convertNsP50) = (Double(place) * 500, 400)
                    (row.convertNsP99, row.conversions) = (9000, 1000)
                    row.conversionsDenied = UInt64(place * 100)
                    row.convertNsCdf = Row.distributionPercents.map { UInt64($0 * 100) }
                    if strategy == "bounce" {
                        (row.copyNsP50, row.poolBytes) = (Double(shape.size) / 8, shape.size)
                    }
                    row.deviceBusy = [1]
                    rows.append(row)
                    (row.dmaRateHz, row.deviceBusy) = (500, [0.3 + 0.01 * Double(round)])
                    rows.append(row)
                }
            }
        }
        return Figures(of: rows, sources: ["rows.csv"], looks: StrategyLooks([])).drawn
    }()

    @Test func allFiguresAreThere() {
        #expect(
            Self.figures.map(\.name) == [
                "cost-by-size", "sync-share", "throughput-against-conversions",
                "conversion-latency", "denied-by-utilisation", "conversion-p50-by-utilisation",
                "conversion-p99-by-utilisation", "cost-by-misalignment", "cost-by-ranges",
                "break-even-longlived", "break-even-bounce",
            ])
    }

    @Test(.enabled(if: hasGnuplot, "gnuplot is missing"), arguments: figures.indices)
    func aPictureShowsItsFigure(_ index: Int) throws {
        let figure = Self.figures[index]
        let picture = try Picture(Gnuplot.svg(figure))
        #expect(picture.defects(asPictureOf: figure) == [], "\(figure.name)")
    }

    /// Pictures of other figures are told from that of this one.
    @Test(.enabled(if: hasGnuplot, "gnuplot is missing"))
    func aPictureOfAnythingElseIsCaught() throws {
        let figure = try #require(Self.figures.first)
        func defects(_ other: Figure) throws -> [String] {
            try Picture(Gnuplot.svg(other)).defects(asPictureOf: figure)
        }
        let swapped = Axis(label: figure.y.label, quantity: .bytes, scale: .logarithmic)
        #expect(try defects(figure.with(y: swapped)).contains("no tics in ns"))
        let bare = figure.series.map { series in
            Figure.Series(
                name: series.name, look: series.look,
                points: series.points.map { Figure.Point(x: $0.x, y: $0.y) })
        }
        #expect(try defects(figure.with(series: bare)).contains { $0.hasSuffix("plots") })
        let fewer = Array(figure.series.dropFirst())
        #expect(try defects(figure.with(series: fewer)).contains("no text 'none (unsafe)'"))
    }

    @Test(.enabled(if: hasGnuplot, "gnuplot is missing"))
    func aFileIsAPictureOfItsKindAndNothingElseIsLeft() throws {
        let directory = ScratchDirectory()
        for format in Gnuplot.Format.allCases {
            try Gnuplot.draw(
                Self.figures[0], to: "\(directory.path)/p.\(format.rawValue)", as: format)
        }
        #expect(directory.names == ["p.png", "p.svg"])
        let png = try InputFile.read(directory.path + "/p.png", limit: 1 << 24)
        #expect(png.starts(with: [0x89, 0x50, 0x4E, 0x47]))
    }

    @Test(.enabled(if: hasGnuplot, "gnuplot is missing"))
    func anInterruptionIsNoFailureOfGnuplot() throws {
        let figure = try #require(Self.figures.first)
        #expect {
            try Gnuplot.svg(figure, isInterrupted: { true })
        } throws: { error in
            if case .interrupted? = error as? Gnuplot.Failure { true } else { false }
        }
    }

    /// A size at which nothing could be drawn must not look as if it had been.
    @Test func aLineIsInterruptedWhereAPointIsMissing() throws {
        func series(_ name: String, _ sizes: [Double]) -> Figure.Series {
            Figure.Series(
                name: name, look: Look(colour: .blue), points: sizes.map { .init(x: $0, y: 5) })
        }
        func block(_ index: Int) throws -> [Substring] {
            let gap = [series("a", [4096, 16384]), series("b", [4096, 8192, 16384, 32768])]
            let figure = try #require(Self.figures.first).with(series: gap)
            let lines = Drawing(figure).script(.svg)
                .split(separator: "\n", omittingEmptySubsequences: false)
            let start = try #require(lines.firstIndex(of: "$points\(index) << END"))
            return Array(lines[(start + 1)...].prefix { $0 != "END" })
        }
        #expect(try block(0).map(\.isEmpty) == [false, true, false])
        #expect(try block(1).map(\.isEmpty) == [false, false, false, false])
    }

    // MARK: Hostile text

    private static let hostile =
        "x'\"\\\n\r\t`date`$(id)%d%s@^_{}<b>&\u{1}\u{202E}\u{FFFF}; plot sin(x) #é"

    @Test func noTextLeavesItsQuotes() throws {
        let rows = [4096, 8192].map { row(Self.hostile, size: $0, pin: 1, write: 2, unpin: 3) }
        for figure in Figures(of: rows, sources: [Self.hostile], looks: StrategyLooks([])).drawn {
            let script = Drawing(figure).script(.svg)
            // What is outside quotes is our own: a doubled quote ends one string and begins the next.
            for line in script.split(separator: "\n") {
                let parts = line.split(separator: "'", omittingEmptySubsequences: false)
                #expect(parts.count % 2 == 1, "\(line)")
                let bare = parts.enumerated().filter { $0.offset % 2 == 0 }.map(\.element).joined()
                #expect(!bare.contains { "\\`\"%@;&{".contains($0) }, "\(bare)")
            }
            #expect(!script.unicodeScalars.contains { $0.value < 32 && $0 != "\n" })
        }
        #expect(Drawing.quoted("a'b\\n\n") == "'a''b\\n '")
    }

    @Test(.enabled(if: hasGnuplot, "gnuplot is missing"))
    func hostileTextIsShownAsItIs() throws {
        let name = "x'\"\\`%d@^_{}<b>&"
        let rows = [4096, 8192].map { row(name, size: $0, pin: 1, write: 2, unpin: 3) }
        let figure = try #require(drawn("cost-by-size", of: rows))
        let picture = try Picture(Gnuplot.svg(figure))
        #expect(picture.defects(asPictureOf: figure) == [])
        #expect(picture.texts.contains(name))
        let bars = try #require(drawn("sync-share", of: rows))
        #expect(try Picture(Gnuplot.svg(bars)).texts.contains(name + "  67 %"))
        let worst = [4096, 8192].map { row(Self.hostile, size: $0, pin: 1, write: 2, unpin: 3) }
        for figure in Figures(of: worst, sources: [Self.hostile], looks: StrategyLooks([])).drawn {
            let picture = try Picture(Gnuplot.svg(figure))
            #expect(picture.isWellFormed && !picture.elements.contains("script"))
        }
    }
}
