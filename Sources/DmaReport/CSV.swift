/// Comma-separated values as RFC 4180 defines them, except that a line ends with a line feed
/// alone, as Unix tools expect.
package enum CSV {
    package static func line(_ fields: [String]) -> String {
        fields.map(field).joined(separator: ",") + "\n"
    }

    /// A missing value is an empty field.
    package static func text(_ value: JSON) -> String {
        switch value {
        case .null: ""
        case .number(let text), .string(let text): text
        case .bool, .array, .object: value.compact
        }
    }

    private static func field(_ text: String) -> String {
        let needsQuotes = text.unicodeScalars.contains {
            $0 == "," || $0 == "\"" || $0 == "\n" || $0 == "\r"
        }
        guard needsQuotes else { return text }
        var quoted = "\""
        for scalar in text.unicodeScalars {
            quoted.unicodeScalars.append(scalar)
            if scalar == "\"" { quoted += "\"" }
        }
        return quoted + "\""
    }
}
