/// A ratio that dma-bench aims at, and what it came to.
struct Target {
    enum Aim {
        case atMost(Double)
        case atLeast(Double)
    }

    let name: String
    let aim: Aim
    let ratio: Ratio

    init(_ name: String, _ aim: Aim, _ subject: Subject, to base: Subject) {
        self.init(name, aim, Ratio(subject.times, to: base.times))
    }

    /// A ratio as it was in each round.
    init(_ name: String, _ aim: Aim, _ ratios: [Double]) {
        self.init(name, aim, Ratio(ratios, to: ratios.map { _ in 1 }))
    }

    init(_ name: String, _ aim: Aim, _ ratio: Ratio) {
        self.name = name
        self.aim = aim
        self.ratio = ratio
    }

    var isMet: Bool {
        switch aim {
        case .atMost(let limit): ratio.median <= limit
        case .atLeast(let limit): ratio.median >= limit
        }
    }

    var line: String {
        let text =
            switch aim {
            case .atMost(let limit): "at most \(Self.number(limit))"
            case .atLeast(let limit): "at least \(Self.number(limit))"
            }
        let range = "\(Self.number(ratio.least)) .. \(Self.number(ratio.most))"
        return Self.padded(name, 42) + Self.padded(text, 18)
            + Self.padded(Self.number(ratio.median), 12) + Self.padded(range, 24)
            + (isMet ? "met" : "MISSED")
    }

    static let columns = "ratio,aim,target,median,least,most\n"

    /// A row of what is kept. No name has a quote.
    var row: String {
        let (word, limit) =
            switch aim {
            case .atMost(let limit): ("at most", limit)
            case .atLeast(let limit): ("at least", limit)
            }
        return "\"\(name)\",\(word),\(limit),\(ratio.median),\(ratio.least),\(ratio.most)\n"
    }

    static let header =
        padded("ratio", 42) + padded("target", 18) + padded("median", 12) + padded("rounds", 24)

    private static func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(1, width - text.count))
    }

    /// Three digits that count.
    private static func number(_ value: Double) -> String {
        guard value.isFinite else { return "none" }
        if value >= 100 { return "\(Int(value.rounded()))" }
        let places: Double = value >= 10 ? 10 : value >= 1 ? 100 : 1000
        return "\((value * places).rounded() / places)"
    }
}
