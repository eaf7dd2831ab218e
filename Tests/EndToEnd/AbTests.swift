import DmaLinux
import Glibc
import Testing

extension EndToEnd {
    /// Two builds in turns.
    @Suite struct AbTests {
        private static let plan = [
            "--", "--size", "64K", "--strategy", "none,perpage", "--ops", "20", "--no-write",
            "--rounds", "2", "--convert-rate", "0",
        ]
        private let directory: TemporaryDirectory
        private let old: String
        private let new: String
        private let file: String

        init() throws {
            directory = try TemporaryDirectory()
            (old, new) = (directory.file("old"), directory.file("new"))
            file = directory.file("rows.csv")
            for path in [old, new] { try #require(symlink(Run.program, path) == 0) }
        }

        private func script(_ text: String) throws -> String {
            let path = directory.file("script")
            try writeFile(path, "#!/bin/sh\n" + text)
            chmod(path, 0o755)
            return path
        }

        /// The program, but for one column, which is a number of times as large.
        private func build(times factor: Int) throws -> String {
            try script(
                """
                '\(Run.program)' "$@" | awk -F, -v OFS=, '
                NR == 1 { for (i = 1; i <= NF; i++) if ($i == "pair_hot_ns") k = i }
                NR > 1 { $k *= \(factor) } 1'
                """)
        }

        private func ab(_ new: String, _ more: String...) throws -> Run.Outcome {
            try Run(["ab", old, new] + more + Self.plan).finish()
        }

        private func runs() throws -> [String] {
            var names: [String] = []
            for row in try Rows(csv: readFile(file)).rows {
                expectGood(row)
                let name = row["run"].split(separator: "-").prefix(2).joined(separator: "-")
                if names.last != name { names.append(name) }
            }
            return names
        }

        @Test func pairsAlternate() throws {
            let outcome = try ab(new, "--pairs", "4", "-o", file, "--format", "csv")
            #expect(outcome.end == .exited(0))
            let cells = try Rows(csv: outcome.output).rows
            #expect(cells.map(\.strategy) == ["none", "perpage"])
            for cell in cells { #expect(cell["unit"] == "pair" && cell["base_count"] == "4") }
            let order = ["old-1", "new-1", "new-2", "old-2", "old-3", "new-3", "new-4", "old-4"]
            #expect(try runs() == order)
            #expect(try Rows(csv: readFile(file)).rows.count == 32)
        }

        @Test func aRegressionIsStatusThree() throws {
            let slow = try build(times: 50)
            let metric = ["--metric", "pair_hot_ns"]
            let outcome = try Run(
                ["ab", old, slow, "--pairs", "4", "--fail-on", "5%"] + metric + Self.plan
            ).finish()
            #expect(outcome.end == .exited(3), "\(outcome.errors)")
            #expect(outcome.errors.contains("2 of 2 comparisons slower by more than 5%"))
            // The other way round it is faster.
            let faster = try Run(
                ["ab", slow, old, "--pairs", "4", "--fail-on", "5%"] + metric + Self.plan
            ).finish()
            #expect(faster.end == .exited(0), "\(faster.errors)")
        }

        @Test func goesOnAfterAnInterruption() throws {
            let run = try Run(["ab", old, new, "--pairs", "4", "-o", file] + Self.plan)
            #expect(eventually(within: 60) { readFile(file).count { $0 == "\n" } > 12 })
            run.signal(SIGINT)
            let outcome = try run.finish()
            #expect(outcome.end == .exited(130), "\(outcome.errors)")
            #expect(outcome.errors.hasSuffix("go on with --resume \(file)\n"))
            #expect(outcome.output == "" && outcome.errorLines.count == 1)
            run.expectNoSurvivors()
            let before = try runs()
            #expect(before.count >= 3 && before.count < 8)
            #expect(try ab(new, "--pairs", "4", "--resume", file).end == .exited(0))
            let whole = try runs()
            #expect(whole.count == 8 && Set(whole).count == 8)
            #expect(whole.prefix(2) == before.prefix(2))
            // Another plan is not gone on with.
            let other = try Run(
                ["ab", old, new, "--pairs", "5", "--resume", file, "--", "--size", "4K"]
                    + Self.plan.dropFirst(3)
            ).finish()
            #expect(other.end == .exited(64) && other.errors.contains("another plan"))
        }

        /// A run that would take for ever, ended in its midst: it goes, and its devices with it.
        @Test(arguments: [SIGINT, SIGTERM]) func endsTheRunInHand(_ signal: Int32) throws {
            let run = try Run(["ab", old, new, "--", "--size", "4M", "--seconds", "3600"])
            #expect(eventually(within: 60) { run.survivors.count >= 3 })
            run.signal(signal)
            let outcome = try run.finish()
            #expect(outcome.end == .exited(130))
            #expect(outcome.errors == "dma-bench: interrupted; runs so far: 0\n")
            run.expectNoSurvivors()
        }

        @Test(arguments: [
            ("kill -9 $$", 70, "was ended by signal 9"), ("exit 7", 70, "exited with status 7"),
            ("echo rubbish", 64, "not a file of rows"), ("exit 0", 64, "it wrote no rows"),
            ("echo no memory >&2; exit 69", 69, "exited with status 69: no memory"),
            ("exit 4", 4, "exited with status 4"),
        ])
        func aBuildThatFailsIsNamed(_ text: String, _ status: Int32, _ why: String) throws {
            let script = try script(text)
            let outcome = try ab(script, "-o", file)
            #expect(outcome.end == .exited(status), "\(outcome.errors)")
            #expect(
                outcome.errors.hasPrefix("dma-bench: \(script)") && outcome.errors.contains(why)
                    && outcome.errorLines.count == 1, "\(outcome.errors)")
            // What the other one measured is there.
            #expect(try runs() == ["old-1"])
        }

        @Test func whatMakesNoSenseIsOneLine() throws {
            try writeFile(directory.file("text"), "")
            for arguments in [
                [], [old], [old, "/nonexistent"], [old, directory.file("text")],
                [old, directory.path], [old, new, "--pairs", "0"], [old, new, "--metric", "x"],
                [old, new, "--pairs", "3", "--fail-on", "5%"], [old, new, "--fail-on", "5"],
                [old, new, "--", "-o", file], [old, new, "--", "--repeat=2"],
                [old, new, "--resume", file], [old, new, "--resume", file, "-o", file],
                [old, new, "--", "--size", "1X"], [old, new, "--format", "xml"],
            ] {
                let outcome = try Run(["ab"] + arguments).finish()
                #expect(outcome.end == .exited(64), "\(arguments)")
                #expect(outcome.errorLines.count == 1, "\(arguments): \(outcome.errors)")
            }
        }
    }
}
