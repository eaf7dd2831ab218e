/// Text of an HTML page that is also well-formed XML.
///
/// What a string literal spells stands as it is; what is interpolated is escaped, unless it is markup itself. So no
/// text from a file becomes an element, an attribute or a script.
struct Markup: ExpressibleByStringInterpolation, Sendable {
    private(set) var source: String

    init(stringLiteral value: String) { source = value }

    init(stringInterpolation: StringInterpolation) { source = stringInterpolation.source }

    /// What somebody else wrote as markup, such as an SVG picture.
    init(trusting source: String) { self.source = source }

    struct StringInterpolation: StringInterpolationProtocol {
        fileprivate var source = ""

        init(literalCapacity: Int, interpolationCount: Int) {
            source.reserveCapacity(literalCapacity + 16 * interpolationCount)
        }

        mutating func appendLiteral(_ literal: String) { source += literal }
        mutating func appendInterpolation(_ markup: Markup) { source += markup.source }
        mutating func appendInterpolation(_ number: Int) { source += String(number) }
        mutating func appendInterpolation(_ text: String) { source += Markup.escaped(text) }
    }

    static func + (left: Markup, right: Markup) -> Markup {
        Markup(trusting: left.source + right.source)
    }

    /// The text as element content or as an attribute between quotes. Characters that no XML document may hold
    /// (XML 1.0, section 2.2), and other controls but line feed and tab, become U+FFFD.
    private static func escaped(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy { byte in
            (0x20..<0x7F).contains(byte) && !"&<>\"'".utf8.contains(byte)
        }
        if isPlain { return text }
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "'": escaped += "&#39;"
            case "\n", "\t": escaped.unicodeScalars.append(scalar)
            case "\0"..<" ", "\u{7F}"..."\u{9F}", "\u{FFFE}", "\u{FFFF}": escaped += "\u{FFFD}"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}

extension Sequence where Element == Markup {
    func joined(separator: String = "\n") -> Markup {
        Markup(trusting: map(\.source).joined(separator: separator))
    }
}
