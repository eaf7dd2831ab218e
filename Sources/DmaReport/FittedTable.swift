/// An aligned table, made to fit a width: one line per item.
package struct FittedTable<Item> {
    package struct Column: Sendable {
        let title: String
        let importance: Int
        let isText: Bool
        let text: @Sendable (Item) -> String
        let style: @Sendable (Item) -> Style

        /// The column of the lowest importance is left out first.
        package init(
            title: String, importance: Int, isText: Bool = false,
            text: @escaping @Sendable (Item) -> String
        ) {
            self.init(
                title: title, importance: importance, isText: isText, text: text,
                style: { _ in .plain })
        }

        init(
            title: String, importance: Int, isText: Bool = false,
            text: @escaping @Sendable (Item) -> String, style: @escaping @Sendable (Item) -> Style
        ) {
            self.title = title
            self.importance = importance
            self.isText = isText
            self.text = { Text.printable(text($0)) }
            self.style = style
        }
    }

    private let items: [Item]
    private let columns: [Column]

    /// The first column is never left out.
    package init(_ items: [Item], _ columns: [Column]) {
        self.items = items
        self.columns = columns
    }

    /// The header and one line per item, none longer than `width` unless the first column alone is.
    package func lines(width: Int, color: Bool = false) -> [String] {
        var shown = columns.map { column in
            (column, width: items.map { column.text($0).count }.reduce(column.title.count, max))
        }
        while shown.reduce(-2, { $0 + 2 + $1.width }) > width, shown.count > 1 {
            let least = shown.indices.dropFirst().reversed().min {
                shown[$0].0.importance < shown[$1].0.importance
            }
            shown.remove(at: least!)
        }
        let header = shown.map { column, width in Self.pad(column.title, column, width) }
        let body = items.map { item in
            shown.map { column, width in
                let text = Self.pad(column.text(item), column, width)
                return color ? column.style(item).applied(to: text) : text
            }
        }
        return ([header] + body).map { $0.joined(separator: "  ") }
    }

    /// All columns as Markdown, a line each with its line end.
    package var markdown: String {
        let titles = columns.map(\.title)
        let rule = columns.map { $0.isText ? "---" : "---:" }
        let body = items.map { item in columns.map { $0.text(item) } }
        return ([titles, rule] + body).map(Format.piped).joined()
    }

    private static func pad(_ text: String, _ column: Column, _ width: Int) -> String {
        column.isText ? Text.left(text, width) : Text.right(text, width)
    }
}
