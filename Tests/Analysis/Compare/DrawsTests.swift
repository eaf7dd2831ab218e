import DmaReport
import DmaStatistics
import Testing

@testable import Analysis

/// Random draws of runs from a file of `ab`.
@Suite struct DrawsTests {
    /// Sixteen pairs of ten cells whose runs spread by 3 %; `factor` times as long on the new side.
    private func rows(factor: Double) -> [Row] {
        var random = SplitMix64(seed: 8)
        return [false, true].flatMap { isNew in
            Synthetic.runs(16, cells: 10, noise: 0.03, &random) { _ in isNew ? factor : 1 }.map {
                var row = $0
                row.run = RunSide(isNew: isNew, pair: Int(row.run.dropFirst())!).name(ofRun: "x")
                return row
            }
        }
    }

    /// By the name of each kind of draw: the share of comparisons with any verdict, and of status 3.
    private func shares(factor: Double) throws -> [String: (any: Double, failed: Double)] {
        var draws = Draws(rows(factor: factor), threshold: 0.05, draws: 40, seed: 1)
        var shares: [String: (any: Double, failed: Double)] = [:]
        for line in draws.lines().dropFirst(2) {
            let fields = line.split(separator: "|").map { $0.split(separator: " ").first ?? "" }
            shares[line.split(separator: "|")[0].split(separator: " ").joined(separator: " ")] = (
                try #require(Double(fields[1])), try #require(Double(fields[2]))
            )
        }
        return shares
    }

    /// A fifth more time in every cell: four runs a side have a verdict in 80 % of draws and more.
    @Test func whatIsSlowerIsSeen() throws {
        let shares = try shares(factor: 1.2)
        #expect(shares.count == 9)
        for (name, share) in shares where !name.hasSuffix("others of old") {
            #expect(share.any >= 80 && share.failed >= 80, "\(name): \(share)")
        }
    }

    /// Draws from the same runs go together, so these say less than as many comparisons would.
    @Test func whatIsEqualIsNot() throws {
        for (name, share) in try shares(factor: 1) {
            #expect(share.any <= 25 && share.failed <= 10, "\(name): \(share)")
        }
    }

    @Test func aSideIsReadFromTheNameOfItsRun() {
        let side = RunSide(isNew: true, pair: 12)
        #expect(side.name(ofRun: "20260101T000000Z-7") == "new-12-20260101T000000Z-7")
        #expect(RunSide(ofRun: side.name(ofRun: "a-b-c")) == side)
        for name in ["", "old", "old-1", "old-0-x", "old-x-1", "20260101T000000Z-7", "older-1-x"] {
            #expect(RunSide(ofRun: name) == nil, "\(name)")
        }
    }
}
