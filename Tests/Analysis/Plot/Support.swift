import DmaReport
import Foundation
import FoundationXML
import Glibc

@testable import Analysis

/// Rows as a run writes them, with what a test asks for.
func row(
    _ strategy: String, round: Int = 1, size: UInt64 = 1 << 20, safe: Bool = true,
    pin: Double? = nil, write: Double? = nil, unpin: Double? = nil,
    _ change: (inout Row) -> Void = { _ in }
) -> Row {
    var row = plannedRow(strategy, safe: safe, round: round, size: size)
    row.env = "e"
    (row.pinNsP50, row.writeNsP50, row.unpinNsP50) = (pin, write, unpin)
    if let pin, let write, let unpin { row.dmaNsP50 = pin + write + unpin }
    change(&row)
    return row
}

/// Six rounds: a sweep of two sizes over a safe and an unsafe strategy, whose values are hand-made.
///
/// In round r, `perpage` takes r + 10 ns for pin and unpin of 4 KiB, and 100 times that of 1 MiB; `none` takes 4 ns.
/// The write takes 1000 ns, and 100 times that.
let sweep: [Row] = {
    let sizes: [(bytes: UInt64, factor: Double)] = [(4096, 1), (1 << 20, 100)]
    var rows: [Row] = []
    for round in 1...6 {
        for (bytes, factor) in sizes {
            rows += [
                row(
                    "perpage", round: round, size: bytes, pin: 10 * factor, write: 1000 * factor,
                    unpin: Double(round) * factor),
                row(
                    "none", round: round, size: bytes, safe: false, pin: 2 * factor,
                    write: 1000 * factor, unpin: 2 * factor),
            ]
        }
    }
    return rows
}()

func drawn(_ name: String, of rows: [Row] = sweep) -> Figure? {
    Figures(of: rows, sources: ["f.csv"], looks: StrategyLooks([])).drawn.first { $0.name == name }
}

func omission(_ name: String, of rows: [Row]) -> String? {
    Figures(of: rows, sources: ["f.csv"], looks: StrategyLooks([])).omitted.first {
        $0.hasPrefix(name + ": ")
    }
}

extension Figure {
    func series(_ name: String) -> Series? { series.first { $0.name == name } }

    /// The same, but for what is changed.
    func with(x: Axis? = nil, y: Axis? = nil, series: [Series]? = nil) -> Figure {
        Figure(
            name: name, kind: kind, title: title, caption: caption, source: source, x: x ?? self.x,
            y: y ?? self.y, series: series ?? self.series)
    }
}

/// Whether there is a gnuplot; says so once where there is none.
let hasGnuplot: Bool = {
    let path = getenv("PATH").map { String(cString: $0) } ?? ""
    let found = path.split(separator: ":").contains { access("\($0)/gnuplot", X_OK) == 0 }
    if !found {
        print("pictures are not drawn: gnuplot is missing; scripts/setup test installs it")
    }
    return found
}()

/// What a picture shows, as an XML parser sees it.
final class Picture: NSObject, XMLParserDelegate {
    private(set) var isWellFormed = false
    private(set) var texts: [String] = []
    private(set) var elements: Set<String> = []
    private(set) var attributes: [String] = []
    private(set) var plotCount = 0
    private var text: String?

    init(_ svg: String) {
        super.init()
        let parser = XMLParser(data: Data(svg.utf8))
        parser.delegate = self
        isWellFormed = parser.parse()
    }

    func parser(
        _ parser: XMLParser, didStartElement name: String, namespaceURI: String?,
        qualifiedName: String?, attributes: [String: String] = [:]
    ) {
        elements.insert(name)
        self.attributes += attributes.map { "\($0.key)=\($0.value)" }
        if attributes["id"]?.hasPrefix("gnuplot_plot_") == true { plotCount += 1 }
        if name == "text" { text = "" }
    }

    func parser(_ parser: XMLParser, foundCharacters characters: String) {
        text?.append(characters)
    }

    func parser(
        _ parser: XMLParser, didEndElement name: String, namespaceURI: String?,
        qualifiedName: String?
    ) {
        guard name == "text", let text else { return }
        texts.append(text.trimmingCharacters(in: .whitespaces))
        self.text = nil
    }

    /// In which ways it is not a picture of `figure`.
    func defects(asPictureOf figure: Figure) -> [String] {
        var defects: [String] = []
        if !isWellFormed { defects.append("not well-formed") }
        if elements.contains("script") { defects.append("a script") }
        if attributes.contains(where: { $0.lowercased().contains("nan") }) { defects.append("NaN") }
        let known = Set(texts)
        let labels = [figure.x.label, figure.y.label] + figure.series.map(\.name)
        for text in [figure.title] + labels where !text.isEmpty && !known.contains(text) {
            defects.append("no text '\(text)'")
        }
        for axis in [figure.x, figure.y] {
            let units: [Axis.Quantity: [String]] = [
                .bytes: ["B", "KiB", "MiB", "GiB"], .nanoseconds: ["ns", "us", "ms", "s"],
                .share: ["%"], .bytesPerSecond: ["B/s", "KiB/s", "MiB/s", "GiB/s"], .factor: ["x"],
            ]
            guard let units = units[axis.quantity] else { continue }
            let tics = texts.filter { text in units.contains { text.hasSuffix(" " + $0) } }
            if tics.count < 2 { defects.append("no tics in \(units[0])") }
        }
        // Bars have neither lines nor points of their own.
        let intervals = figure.series.reduce(0) { count, series in
            count + (series.points.contains { $0.xInterval != nil } ? 1 : 0)
                + (series.points.contains { $0.yInterval != nil } ? 1 : 0)
        }
        let marks = figure.kind == .bars ? 0 : figure.series.count { $0.look.shape != nil }
        if plotCount != figure.series.count + intervals + marks {
            defects.append("\(plotCount) plots")
        }
        return defects
    }
}

/// A directory of its own, removed with the files in it.
final class ScratchDirectory {
    let path = NSTemporaryDirectory() + "/analysis-" + UUID().uuidString

    init() {
        try! FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    var names: [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: path))?.sorted() ?? []
    }
}
