import Experiment

/// Names a user may choose from.
enum Choice {
    /// The value of that name, or an error that names the nearest one.
    static func named<Value>(
        _ text: String, option: String, among names: [(String, Value)]
    ) throws(UsageError) -> Value {
        if let match = names.first(where: { $0.0 == text }) { return match.1 }
        let nearest = names.map(\.0).min { distance($0, text) < distance($1, text) } ?? ""
        let hint =
            distance(nearest, text) <= max(2, text.count / 3) ? "did you mean \(nearest)? " : ""
        throw UsageError(
            "\(option) \(text): unknown; \(hint)there are \(names.map(\.0).joined(separator: ", "))"
        )
    }

    /// The number of single-character edits between two words (Levenshtein).
    static func distance(_ left: String, _ right: String) -> Int {
        var row = Array(0...right.count)
        for (i, a) in left.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, b) in right.enumerated() {
                let above = row[j + 1]
                row[j + 1] = min(above + 1, row[j] + 1, diagonal + (a == b ? 0 : 1))
                diagonal = above
            }
        }
        return row[right.count]
    }
}
