import Testing

extension EndToEnd {
    /// The manual page and the program's own help name the same things.
    @Suite struct ManualTests {
        private static let page = readFile(
            "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
                + "/docs/dma-bench.1")

        /// Options, subcommands with their options, and exit statuses, each as a text of its own.
        private static func namesInHelp() throws -> Set<String> {
            let help = try run("--help").output
            var names = Set(options(inHelp: help))
            let statuses = try #require(help.firstMatch(of: /Exit status:(?:.|\n)*?\n\n/)).0
            names.formUnion(statuses.matches(of: /[:,]\s(\d+)\s/).map { "status \($0.1)" })
            let commands = try #require(help.split(separator: "SUBCOMMANDS:").last)
            for command in commands.matches(of: /\n  ([a-z]+)\s/).map(\.1) {
                names.insert("\(command)")
                let common = ["-h", "--help", "--version"]
                let own = try options(inHelp: run("help", String(command)).output)
                names.formUnion(own.filter { !common.contains($0) }.map { "\(command) \($0)" })
            }
            return names
        }

        private static func options(inHelp help: String) -> [String] {
            help.split(separator: "\n").filter { $0.hasPrefix("  -") }.flatMap { line in
                // Two spaces end the names.
                let names = line.dropFirst(2).firstMatch(of: /.+?(?=  |$)/)?.0 ?? ""
                return names.matches(of: /(?:^|\s)(--?[a-z][a-z-]*)/).map { String($0.1) }
            }
        }

        /// The same of the page: items of lists, by the section they are in.
        private static func names(inPage page: String) -> Set<String> {
            var names: Set<String> = []
            var section = ""
            for line in page.split(separator: "\n") {
                if line.hasPrefix(".Sh ") { section = String(line.dropFirst(4)) }
                guard line.hasPrefix(".It ") else { continue }
                let options = line.matches(of: /Fl (-?[a-z][a-z-]*)/).map { "-\($0.1)" }
                switch section {
                case "OPTIONS": names.formUnion(options)
                case "COMMANDS":
                    let command = line.split(separator: " ")[2]
                    names.formUnion(["\(command)"] + options.map { "\(command) \($0)" })
                case "EXIT STATUS": names.insert("status \(line.dropFirst(4))")
                default: break
                }
            }
            return names
        }

        @Test func namesWhatHelpNames() throws {
            let (inPage, inHelp) = try (Self.names(inPage: Self.page), Self.namesInHelp())
            #expect(inPage.subtracting(inHelp) == [], "only in docs/dma-bench.1")
            #expect(inHelp.subtracting(inPage) == [], "only in --help")
        }

        /// Pages with one thing too few or too many.
        @Test(arguments: [
            (".It Fl -chunk Ar range\n", "", "--chunk"),
            (".It Fl q , Fl -quiet\n", ".It Fl -quiet\n", "-q"),
            (".It Cm env\n", "", "env"), ("Op Fl -csv\nPrint", "\nPrint", "schema --csv"),
            (".It 74\n", "", "status 74"),
            (".It Fl -dry-run\n", ".It Fl -dry-run\n.It Fl -wet-run\n", "--wet-run"),
            (".It Cm env\n", ".It Cm env Op Fl -all\n", "env --all"),
            (".It 0\n", ".It 0\n.It 1\n", "status 1"),
        ])
        func aPageThatDiffersIsFound(old: String, new: String, name: String) throws {
            let broken = Self.names(inPage: Self.page.replacing(old, with: new))
            #expect(try broken.symmetricDifference(Self.namesInHelp()) == [name])
        }
    }
}
