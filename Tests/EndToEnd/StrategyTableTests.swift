import Testing

extension EndToEnd {
    /// The documents' table of strategies has those that there are: what is said of each is written by hand.
    @Suite struct StrategyTableTests {
        private static let root =
            "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

        /// The page with a row for each strategy, in their order: the row that it has, or one made from what the program
        /// says. Nil where it has no table of strategies.
        private static func corrected(_ page: String, _ strategies: [ListedStrategy]) -> String? {
            var lines = page.split(separator: "\n", omittingEmptySubsequences: false)
            guard let title = lines.firstIndex(where: { $0.hasPrefix("| name |") }) else {
                return nil
            }
            let start = title + 2
            let end = lines[start...].firstIndex { !$0.hasPrefix("|") } ?? lines.endIndex
            let rows = lines[start..<end]
            lines[start..<end] =
                strategies.map { strategy in
                    let ours = rows.first {
                        $0.hasPrefix("| `\(strategy.name)` |")
                            && $0.contains("unsafe") == !strategy.isSafe
                    }
                    return ours ?? row(of: strategy)
                }[...]
            return lines.joined(separator: "\n")
        }

        private static func row(of strategy: ListedStrategy) -> Substring {
            let mark = strategy.isSafe ? "" : ": unsafe"
            let (how, precedent) = (strategy.facts["how"] ?? "", strategy.facts["precedent"] ?? "")
            return "| `\(strategy.name)` | \(how)\(mark) | \(precedent) |"
        }

        @Test func itHasThemAll() throws {
            let strategies = try listedStrategies()
            let documents =
                ["README.md"]
                + names(in: Self.root + "/docs").filter { $0.hasSuffix(".md") }.map { "docs/" + $0 }
            var tables = 0
            for path in documents.map({ Self.root + "/" + $0 }) {
                let page = readFile(path)
                guard let corrected = Self.corrected(page, strategies) else { continue }
                tables += 1
                if Golden.isUpdating { try writeFile(path, corrected) }
                let lines = corrected.split(separator: "\n").difference(
                    from: page.split(separator: "\n"))
                #expect(
                    Golden.isUpdating || lines.isEmpty,
                    "\(path): UPDATE_GOLDEN=1 puts it right: \(lines)")
            }
            #expect(tables == 1)
        }

        private static let some = [
            ListedStrategy(name: "one", isSafe: true, facts: ["how": "a", "precedent": "b"]),
            ListedStrategy(name: "two", isSafe: false, facts: ["how": "c", "precedent": "d"]),
        ]
        private static let page = """
            Text.

            | name | how | precedent |
            |---|---|---|
            | `one` | by hand | a precedent |
            | `two` | badly: unsafe | none |

            More text.
            """

        /// Without a row, with one too many, in another order, and with one that does not say that it is unsafe.
        @Test(arguments: [
            ("| `one` | by hand | a precedent |\n", "", "| `one` | a | b |"),
            ("| `two` |", "| `three` | x | y |\n| `two` |", "| `two` | badly: unsafe | none |"),
            ("| `two` | badly: unsafe | none |", "", "| `two` | c: unsafe | d |"),
            (": unsafe", "", "| `two` | c: unsafe | d |"),
        ])
        func aTableThatDiffersIsPutRight(old: String, new: String, expected: String) throws {
            #expect(Self.corrected(Self.page, Self.some) == Self.page)
            let broken = Self.page.replacing(old, with: new)
            let corrected = try #require(Self.corrected(broken, Self.some))
            #expect(corrected != broken && corrected.contains(expected))
            let order = corrected.matches(of: /(?m)^\| `(\w+)`/).map { String($0.1) }
            #expect(order == ["one", "two"] && corrected.hasSuffix("\nMore text."))
        }
    }
}
