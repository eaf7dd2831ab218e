/// What the oracle found of one strategy.
package struct Violations: Sendable {
    package let strategy: String
    package let isSafe: Bool
    /// Pages that were written while they were private.
    package private(set) var writtenPages: UInt64 = 0
    /// Pages that were converted while a device had them pinned.
    package private(set) var convertedPages: UInt64 = 0

    /// Of each strategy that was looked at, in the order in which they first appear. Rows that were cut short count:
    /// what was found was found.
    package static func byStrategy(_ rows: [Row]) -> [Violations] {
        var places: [String: Int] = [:]
        var found: [Violations] = []
        for row in rows where row.violations != nil {
            let place = places[row.strategy] ?? found.count
            if place == found.count {
                places[row.strategy] = place
                found.append(Violations(strategy: row.strategy, isSafe: row.safe))
            }
            found[place].add(row)
        }
        return found
    }

    private init(strategy: String, isSafe: Bool) {
        self.strategy = strategy
        self.isSafe = isSafe
    }

    private mutating func add(_ row: Row) {
        writtenPages = saturatingSum(writtenPages, row.violationsPrivate ?? 0)
        convertedPages = saturatingSum(convertedPages, row.violationsStale ?? 0)
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
