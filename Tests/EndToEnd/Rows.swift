import Testing

/// Rows as the program writes them, read by RFC 4180 to the letter but for its line ends.
struct Rows {
    let header: [String]
    let rows: [ResultRow]

    struct Malformed: Error, CustomStringConvertible {
        let description: String
    }

    init(csv text: String) throws {
        let records = try Self.records(text)
        guard let first = records.first else { throw Malformed(description: "no header") }
        header = first
        rows = try records.dropFirst().map { fields in
            guard fields.count == first.count else {
                throw Malformed(description: "\(fields.count) fields of \(first.count): \(fields)")
            }
            return ResultRow(
                fields: Dictionary(zip(first, fields)) { one, _ in one })
        }
    }

    private static func records(_ text: String) throws -> [[String]] {
        guard text.isEmpty || text.hasSuffix("\n") else {
            throw Malformed(description: "the last row is not whole: \(text.suffix(80))")
        }
        var records: [[String]] = []
        var fields: [String] = []
        var rest = text.unicodeScalars[...]
        while !rest.isEmpty {
            fields.append(try field(&rest))
            let separator = rest.popFirst()
            if separator == "\n" {
                records.append(fields)
                fields = []
            } else if separator != "," {
                throw Malformed(description: "after \(fields.last ?? ""): \(rest.prefix(40))")
            }
        }
        return records
    }

    private static func field(_ rest: inout Substring.UnicodeScalarView) throws -> String {
        guard rest.first == "\"" else {
            let plain = rest.prefix { $0 != "," && $0 != "\n" }
            guard !plain.contains("\""), !plain.contains("\r") else {
                throw Malformed(description: "a quote or return in a plain field: \(plain)")
            }
            rest = rest.dropFirst(plain.count)
            return String(plain)
        }
        rest.removeFirst()
        var text = String.UnicodeScalarView()
        while let scalar = rest.popFirst() {
            if scalar != "\"" {
                text.append(scalar)
            } else if rest.first == "\"" {
                text.append(rest.removeFirst())
            } else {
                return String(text)
            }
        }
        throw Malformed(description: "a quoted field without end")
    }
}

/// One row, by the names of its columns.
struct ResultRow {
    let fields: [String: String]

    subscript(_ column: String) -> String { fields[column] ?? "no column \(column)" }

    func number(_ column: String) throws -> Double {
        try #require(Double(self[column]), "\(column) is \(self[column])")
    }

    func count(_ column: String) throws -> Int {
        try #require(Int(self[column]), "\(column) is \(self[column])")
    }

    var isSafe: Bool { self["safe"] == "true" }
    var strategy: String { self["strategy"] }
}

/// Runs the program to its end, which must be a good one without a word on standard error, and reads its rows.
func rows(
    _ arguments: String..., sourceLocation: SourceLocation = #_sourceLocation
) throws -> [ResultRow] {
    let outcome = try Run(arguments).finish()
    #expect(outcome.end == .exited(0), sourceLocation: sourceLocation)
    #expect(outcome.errors == "", sourceLocation: sourceLocation)
    return try Rows(csv: outcome.output).rows
}

/// A strategy as `dma-bench strategies` prints it.
struct ListedStrategy {
    let name: String
    let isSafe: Bool
    /// What follows the name, by its title.
    let facts: [String: String]

    /// Whether a machine may lack what it needs.
    var isDemanding: Bool { facts["kernel"] != "needs nothing special" }
}

func listedStrategies() throws -> [ListedStrategy] {
    let entry = /(?m)^(\S+) \((safe|UNSAFE)\)\n((?: +.+\n)+)/
    return try run("strategies").output.matches(of: entry).map { match in
        let facts = match.3.matches(of: /(?m)^ +(.+?): +(.+)$/).map { (String($0.1), String($0.2)) }
        return ListedStrategy(
            name: String(match.1), isSafe: match.2 == "safe",
            facts: Dictionary(uniqueKeysWithValues: facts))
    }
}

/// What holds for every row of a turn that went well, whatever was asked for.
func expectGood(_ row: ResultRow, sourceLocation: SourceLocation = #_sourceLocation) {
    let writes = row["engine"] != "none"
    var expected = [("status", "ok"), ("leaked_pins", "0")]
    if row.isSafe {
        // Where nothing is written there are no canaries to look at.
        expected += [("violations_private", writes ? "0" : ""), ("violations_stale", "0")]
    }
    for (column, value) in expected {
        #expect(
            row[column] == value, "\(row.strategy) in round \(row["round"]): \(column)",
            sourceLocation: sourceLocation)
    }
}
