/// Laying out text for terminals of a given width, in characters.
public enum Text {
    static func left(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    static func right(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }

    /// Breaks at spaces so that no line is longer than `width`, unless one word is.
    package static func wrapped(_ text: String, width: Int) -> [String] {
        var lines: [String] = []
        for word in text.split(separator: " ") {
            if let last = lines.last, last.count + 1 + word.count <= width {
                lines[lines.count - 1] += " " + word
            } else {
                lines.append(String(word))
            }
        }
        return lines
    }

    /// Lines of columns, each as wide as its widest field needs; a line's last field may be any length.
    public static func aligned(_ lines: [[String]]) -> String {
        let columns = lines.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in
            lines.map { $0.count > column + 1 ? $0[column].count : 0 }.max() ?? 0
        }
        return lines.map { line in
            let last = line.count - 1
            let fields = line.enumerated().map { $0 < last ? left($1, widths[$0]) : $1 }
            return fields.joined(separator: "  ") + "\n"
        }.joined()
    }

    /// On one line: whatever controls a terminal becomes a space.
    public static func printable(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.map { isControl($0) ? " " : $0 }))
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.generalCategory == .control
    }
}
