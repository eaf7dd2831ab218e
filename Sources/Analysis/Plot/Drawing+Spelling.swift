/// How looks and texts are spelled for gnuplot.
extension Drawing {
    static func point(_ look: Look, size: String = "1") -> String {
        let type = 4 + 2 * (look.shape?.rawValue ?? 0) + (look.isHollow ? 0 : 1)
        return "pointtype \(type) pointsize \(size)"
    }

    static func dash(_ dash: Look.Dash) -> String {
        switch dash {
        case .solid: "dashtype solid"
        case .long: "dashtype (14,5)"
        case .mixed: "dashtype (10,4,2,4)"
        case .dotted: "dashtype (2,4)"
        }
    }

    /// As many characters as there is room for; what is cut is in the middle, since ends tell names apart.
    static func fitted(_ text: String, _ limit: Int = 26) -> String {
        text.count <= limit ? text : "\(text.prefix(limit - 12))...\(text.suffix(9))"
    }

    /// Any text as a string of gnuplot's, on one line, and as XML can hold it.
    static func quoted(_ text: String) -> String {
        "'"
            + text.unicodeScalars.map { scalar in
                switch scalar.properties.generalCategory {
                case .control, .format, .lineSeparator, .paragraphSeparator, .unassigned: " "
                default: scalar == "'" ? "''" : String(scalar)
                }
            }.joined() + "'"
    }

    /// The text of a tic is a format as well.
    static func ticText(_ text: String) -> String {
        quoted(text.split(separator: "%", omittingEmptySubsequences: false).joined(separator: "%%"))
    }
}
