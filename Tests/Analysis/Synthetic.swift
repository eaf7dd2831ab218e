import DmaReport
import DmaStatistics
import Glibc

/// Rows that nobody measured.
enum Synthetic {
    static func row(
        _ strategy: String = "perpage", round: Int = 1, size: UInt64 = 1 << 30, dma: Double? = nil,
        status: Row.Status = .ok
    ) -> Row {
        var row = plannedRow(strategy, safe: strategy != "none", round: round, size: size)
        row.status = status
        row.dmaNsP50 = dma
        return row
    }

    /// A row per value, in rounds from 1.
    static func rows(
        _ dma: [Double?], of strategy: String = "perpage", size: UInt64 = 1 << 30
    ) -> [Row] {
        dma.enumerated().map {
            row(strategy, round: $0.offset + 1, size: size, dma: $0.element)
        }
    }

    /// A run of one round per value.
    static func runs(
        _ dma: [Double?], of strategy: String = "perpage", size: UInt64 = 1 << 30
    ) -> [Row] {
        dma.enumerated().map {
            var row = row(strategy, size: size, dma: $0.element)
            row.run = "r\($0.offset + 1)"
            return row
        }
    }

    /// Runs of cells of different sizes, around 1 ms times `factor(cell)`: what happens to a run, and what happens to
    /// a cell of it, spread by `noise` in all, half of its variance each; rounds by a third of it.
    static func runs(
        _ count: Int, cells: Int, rounds: Int = 1, noise: Double, _ random: inout SplitMix64,
        factor: (Int) -> Double = { _ in 1 }
    ) -> [Row] {
        (1...count).flatMap { run in
            let ofRun = noise * 0.5.squareRoot() * random.normal()
            return (0..<cells).flatMap { cell in
                let ofCell = ofRun + noise * 0.5.squareRoot() * random.normal()
                return (1...rounds).map { round in
                    let value = exp(ofCell + noise / 3 * random.normal())
                    var row = row(
                        round: round, size: UInt64(4096) << cell,
                        dma: 1e6 * factor(cell) * value)
                    row.run = "r\(run)"
                    return row
                }
            }
        }
    }
}

extension SplitMix64 {
    /// A standard normal value (Box and Muller 1958).
    mutating func normal() -> Double {
        let radius = (-2 * log(Double.random(in: 1e-300..<1, using: &self))).squareRoot()
        return radius * cos(2 * .pi * Double.random(in: 0..<1, using: &self))
    }
}
