import Foundation
import Testing

extension EndToEnd {
    /// What the program says of itself.
    @Suite struct TextTests {
        @Test func helpIsGolden() throws {
            let help = try run("--help")
            #expect(help.end == .exited(0) && help.errors == "")
            try Golden.expect(help.output, is: "help.txt")
            #expect(help.output.split(separator: "\n").allSatisfy { $0.count <= 80 })
        }

        /// Without a terminal there is no width to ask for: 80, whichever way help is asked for.
        @Test(arguments: ["-h", "help", "--help"])
        func helpIsTheSameEveryWay(_ word: String) throws {
            let help = try Run([word], environment: ["COLUMNS": ""]).finish()
            #expect(help.end == .exited(0) && help.errors == "")
            #expect(try help.output == run("--help").output)
        }

        @Test func helpOfEverySubcommandIsItsOwn() throws {
            let help = try run("--help").output
            let commands = try #require(help.split(separator: "SUBCOMMANDS:").last)
                .matches(of: /\n  ([a-z]+)\s/).map { String($0.1) }
            #expect(commands.count == 10)
            for command in commands {
                let outcome = try run("help", command)
                #expect(outcome.end == .exited(0) && outcome.errors == "", "\(command)")
                #expect(outcome.output.contains("USAGE: dma-bench \(command)"))
            }
        }

        @Test(arguments: [["bogus"], ["merg"], ["schema", "bogus"]])
        func helpOfWhatIsNotThereIsWrong(_ names: [String]) throws {
            let outcome = try Run(["help"] + names).finish()
            #expect(outcome.end == .exited(64) && outcome.output == "")
            #expect(outcome.errors.hasPrefix("dma-bench: help \(names.last!): unknown; "))
            #expect(outcome.errorLines.count == 1 && outcome.errors.contains("report, plot"))
        }

        /// Nobody reads on so narrow a terminal, but nobody is hurt either.
        @Test(arguments: ["1", "26", "39"])
        func helpSurvivesANarrowTerminal(_ columns: String) throws {
            let help = try Run(["--help"], environment: ["COLUMNS": columns]).finish()
            #expect(help.end == .exited(0) && help.errors == "")
            #expect(help.output.split(separator: "\n").contains { $0.count > 26 })
        }

        @Test func strategiesAreGolden() throws {
            let outcome = try run("strategies")
            #expect(outcome.end == .exited(0) && outcome.errors == "")
            try Golden.expect(outcome.output, is: "strategies.txt")
        }

        @Test func dryRunIsGoldenAndTouchesNothing() throws {
            let directory = try TemporaryDirectory()
            let outcome = try run(
                "--dry-run", "--size", "4K..4M:x32,1T", "--strategy", "none,rangetree",
                "--devices", "1,2", "--convert-rate", "0,500", "--convert-where", "mixed",
                "--rounds", "3", "-o", directory.file("rows.csv"), "--raw",
                directory.file("raw.csv"))
            #expect(outcome.end == .exited(0) && outcome.errors == "")
            let lines = outcome.output.split(separator: "\n")
            let ofThisMachine = lines.filter {
                $0.hasPrefix("memory here: ") || $0.hasPrefix("expected time: ")
            }
            #expect(ofThisMachine == lines.suffix(2))
            try Golden.expect(lines.dropLast(2).joined(separator: "\n") + "\n", is: "dry-run.txt")
            #expect(directory.names.isEmpty)
        }

        /// Whatever is broken does not show where no device writes; beside safe ones, or without any lock, it is there
        /// for its times.
        @Test func thatNothingCanBeCaughtIsTold() throws {
            let told =
                "dma-bench: broken on purpose: toctou, srcu-v5; with conversions outside the buffers "
                + "nothing can be caught: add --convert-where inside\n"
            for (arguments, errors) in [
                (["--strategy", "toctou,none,srcu-v5"], told),
                (["--strategy", "unsafe", "--convert-where", "outside"], told),
                (["--strategy", "unsafe"], ""), (["--strategy", "none"], ""),
                (["--strategy", "all"], ""), (["--strategy", "rangetree,toctou"], ""),
                (["--strategy", "toctou", "--convert-where", "mixed"], ""),
                (["--strategy", "toctou", "--quiet"], ""),
            ] {
                let outcome = try Run(["--dry-run", "--size", "4M"] + arguments).finish()
                #expect(outcome.end == .exited(0) && outcome.errors == errors, "\(arguments)")
            }
            // For people: a script has its rows and no more.
            let rows = try run(
                "--size", "4K", "--strategy", "toctou", "--rounds", "1", "--ops", "1")
            #expect(rows.end == .exited(0) && rows.errors == "")
        }

        @Test func headerIsGoldenAndSoIsItsSchema() throws {
            let outcome = try run(
                "--size", "4K", "--rounds", "1", "--ops", "1", "--no-write")
            let header = try #require(outcome.output.split(separator: "\n").first)
            try Golden.expect(header + "\n", is: "header.csv")

            let schema = try run("schema", "--csv")
            #expect(schema.end == .exited(0) && schema.errors == "")
            let entries = try Rows(csv: schema.output)
            #expect(entries.header == ["column", "type", "unit", "meaning"])
            #expect(
                entries.rows.map { $0["column"] } == header.split(separator: ",").map(String.init))
            let table = try run("schema")
            #expect(table.output.split(separator: "\n").count == entries.rows.count + 1)
        }

        @Test func versionIsOneLine() throws {
            let outcome = try run("--version")
            #expect(outcome.end == .exited(0) && outcome.errors == "")
            let version = /dma-bench \d+\.\d+\.\d+ \((debug|release)\)\n/
            #expect(outcome.output.wholeMatch(of: version) != nil, "\(outcome.output)")
        }

        @Test func environmentIsJSON() throws {
            let outcome = try run("env")
            #expect(outcome.end == .exited(0) && outcome.errors == "")
            let json = try JSONSerialization.jsonObject(with: Data(outcome.output.utf8))
            let object = try #require(json as? [String: Any])
            #expect(
                object.keys.sorted() == [
                    "clock_step_ns", "env", "processors", "revision", "stable", "volatile",
                ])
            #expect(try #require(object["clock_step_ns"] as? Double) > 0)
        }
    }
}
