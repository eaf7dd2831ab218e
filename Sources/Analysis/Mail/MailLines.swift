import DmaReport

/// Lines of a mail: 72 columns and no tab, so that quoting and plain-text readers leave them whole.
struct MailLines {
    static let width = 72
    private(set) var lines: [String] = []

    var text: String { lines.joined(separator: "\n") + "\n" }

    mutating func title(_ text: String) {
        lines += Text.wrapped(text, width: Self.width)
        lines.append(String(repeating: "=", count: min(Self.width, text.count)))
    }

    mutating func heading(_ text: String) { lines += ["", text + ":"] }

    mutating func paragraph(_ text: String) {
        lines += [""] + Text.wrapped(Self.plain(text), width: Self.width)
    }

    /// Without characters that a reader's font or charset may lack.
    private static func plain(_ text: String) -> String {
        Text.printable(text).replacing("\u{2013}", with: "-")
    }

    /// Indented by two, further lines of an item by four.
    mutating func item(_ text: String) {
        for (index, line) in Text.wrapped(Self.plain(text), width: Self.width - 4).enumerated() {
            lines.append((index == 0 ? "  " : "    ") + line)
        }
    }

    mutating func table<Item>(_ table: FittedTable<Item>) {
        lines += table.lines(width: Self.width - 2).map { line in
            var line = "  " + line
            while line.last == " " { line.removeLast() }
            return line
        }
    }

    /// A command that a shell takes as it stands: its words on lines that end in a backslash, an option and its value
    /// together. What is longer than a line is a list, and is broken behind a comma; the rest of it begins its line,
    /// without a blank.
    mutating func command(_ words: [String]) {
        let limit = Self.width - 2
        var line = " "
        for group in Self.groups(words) {
            if line.count + 1 + group.count > limit, line != " " {
                lines.append(line + " \\")
                line = "   "
            }
            line += " "
            for (index, part) in group.split(separator: ",").enumerated() {
                let part = (index == 0 ? "" : ",") + part
                if line.count + part.count > limit, index > 0 {
                    lines.append(line + ",\\")
                    line = String(part.dropFirst())
                } else {
                    line += part
                }
            }
        }
        lines.append(line)
    }

    private static func groups(_ words: [String]) -> [String] {
        var groups: [String] = []
        for word in words {
            if let last = groups.last, last.hasPrefix("--"), !last.contains(" "),
                !word.hasPrefix("--")
            {
                groups[groups.count - 1] += " " + word
            } else {
                groups.append(word)
            }
        }
        return groups
    }
}
