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

    mutating func heading(_ text: String) {
        lines += [""] + Text.wrapped(Self.plain(text) + ":", width: Self.width)
    }

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
            // Between quotes nothing can be broken.
            let parts = group.contains("'") ? [group[...]] : group.split(separator: ",")
            for (index, part) in parts.enumerated() {
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

    /// The words as a shell takes them, an option with its value.
    private static func groups(_ words: [String]) -> [String] {
        var groups: [String] = []
        var isOption = false
        for word in words {
            let quoted = quoted(word)
            if isOption, !word.hasPrefix("--") {
                groups[groups.count - 1] += " " + quoted
                isOption = false
            } else {
                groups.append(quoted)
                isOption = word.hasPrefix("--")
            }
        }
        return groups
    }

    /// One word of a shell (POSIX.1-2024, Shell Command Language, 2.2.2), whatever is in it.
    private static func quoted(_ word: String) -> String {
        let word = Text.printable(word)
        let isPlain = word.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: "-_./:,+%".utf8.contains(byte)
            }
        }
        return isPlain && !word.isEmpty ? word : "'\(word.replacing("'", with: "'\\''"))'"
    }
}
