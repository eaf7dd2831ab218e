import DmaReport
import Foundation

@testable import Analysis

extension Row {
    /// A round of a strategy: a DMA of 1 GiB beside conversions inside the buffer, with everything in order.
    static func measured(
        _ strategy: String = "perpage", safe: Bool = true, round: Int = 1, run: String = "r1",
        sizeBytes: UInt64 = 1 << 30, pin: Double = 1e6, env: String = "0123456789abcdef"
    ) -> Row {
        var row = planned(
            strategy, safe: safe, round: round, run: run, sizeBytes: sizeBytes, status: .ok,
            env: env)
        (row.pinNsP50, row.writeNsP50, row.unpinNsP50) = (pin, 30e6 + Double(round), pin)
        row.dmaNsP50 = 2 * pin + 30e6 + Double(round)
        row.syncShare = 2 * pin / (2 * pin + 30e6)
        row.writeBytesPerS = 30e9
        row.pairHotNs = 40
        (row.conversions, row.conversionsDenied) = (300, 100)
        (row.convertNsP50, row.convertNsP99) = (2200, 35_000)
        (row.violationsPrivate, row.violationsStale) = (0, 0)
        row.clockNs = 20
        return row
    }

    /// A row of the plan with nothing measured.
    static func planned(
        _ strategy: String, safe: Bool = true, round: Int = 1, run: String = "r1",
        sizeBytes: UInt64 = 1 << 30, status: Row.Status, env: String = "0123456789abcdef"
    ) -> Row {
        var row = plannedRow(strategy, safe: safe, round: round, size: sizeBytes)
        row.run = run
        (row.convertRateHz, row.convertWhere) = (5000, "inside")
        (row.status, row.env) = (status, env)
        return row
    }

    /// The row with some of it otherwise.
    func with(_ change: (inout Row) -> Void) -> Row {
        var row = self
        change(&row)
        return row
    }
}

/// Ten rounds of a usual run: a baseline, a cheap strategy, and an unsafe one that was caught.
let usualRows: [Row] = (1...10).flatMap { round -> [Row] in
    let pin = Double(round)
    let caught = Row.measured("none", safe: false, round: round, pin: 100 + pin).with {
        ($0.violationsPrivate, $0.violationsStale) = (1, 20)
    }
    return [
        .measured("perpage", round: round, pin: 1.4e6 + pin * 1e4),
        .measured("rangetree", round: round, pin: 500 + pin), caught,
    ]
}

/// The page of rows that were written to a file and read back, with an environment beside them.
func page(
    _ rows: [Row], environment: String? = nil, name: String = "rows.csv", drawn: Bool = false
) throws -> String {
    let directory = NSTemporaryDirectory() + "page-tests-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let path = directory + "/" + name
    let text = Format.csv.header + rows.map { Format.csv.line($0) }.joined()
    try text.write(toFile: path, atomically: false, encoding: .utf8)
    try environment?.write(toFile: path + ".env.json", atomically: false, encoding: .utf8)
    var page = ReportPage([try .read(path)], generator: "dma-bench <test>")
    if drawn { try page.draw(looks: StrategyLooks([]), isInterrupted: { false }) }
    return page.html
}

func sentences(_ rows: [Row]) -> [String] {
    ThreeSentences(rows, cells: SummaryCell.cells(of: rows)).all
}
