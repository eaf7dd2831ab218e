/// What the oracle found of one strategy.
package struct Violations: Sendable {
    package let strategy: String
    package let isSafe: Bool
    /// Pages that were written while they were private.
    package let writtenPages: UInt64
    /// Pages that were converted while a device had them pinned.
    package let convertedPages: UInt64

    /// Of each strategy that was looked at, in the order in which they first appear. Rows that were cut short count:
    /// what was found was found.
    package static func byStrategy(_ rows: [Row]) -> [Violations] {
        rows.filter { $0.violations != nil }.grouped(by: \.strategy)
            .map { Violations(rows: $0.elements) }
    }

    private init(rows: [Row]) {
        strategy = rows[0].strategy
        isSafe = rows[0].safe
        writtenPages = rows.reduce(0) { saturatingSum($0, $1.violationsPrivate ?? 0) }
        convertedPages = rows.reduce(0) { saturatingSum($0, $1.violationsStale ?? 0) }
    }

    /// What it was caught at; nil where it was not caught.
    package var text: String? {
        guard writtenPages > 0 || convertedPages > 0 else { return nil }
        return """
            \(Text.printable(strategy))\(isSafe ? "" : " (unsafe)") wrote \(Human.grouped(writtenPages)) private \
            \(writtenPages == 1 ? "page" : "pages") and had \(Human.grouped(convertedPages)) converted under its pin
            """
    }
}
