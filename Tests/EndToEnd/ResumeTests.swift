import DmaLinux
import Foundation
import Testing

extension EndToEnd {
    /// A run that was stopped goes on, and leaves what it would have left unstopped.
    @Suite struct ResumeTests {
        private static let plan = [
            "--size", "64K,4M", "--strategy", "none,perpage,rangetree", "--ops", "20",
            "--no-write",
        ]
        private let directory: TemporaryDirectory
        private let file: String

        init() throws {
            directory = try TemporaryDirectory()
            file = directory.file("rows.csv")
        }

        /// Which cell, round and position each row is of, in the order of the file.
        private func turns(
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws -> [String] {
            let rows = try Rows(csv: readFile(file)).rows
            for row in rows { expectGood(row, sourceLocation: sourceLocation) }
            #expect(Set(rows.map { $0["run"] }).count == 1, sourceLocation: sourceLocation)
            #expect(Set(rows.map { $0["plan"] }).count == 1, sourceLocation: sourceLocation)
            return rows.map {
                "\($0["round"]) \($0["size_bytes"]) \($0["position"]) \($0.strategy)"
            }
        }

        private func uninterrupted(rounds: Int) throws -> [String] {
            let outcome = try Run(Self.plan + ["--rounds", "\(rounds)", "-o", file]).finish()
            #expect(outcome.end == .exited(0) && outcome.errors == "")
            let turns = try turns()
            #expect(turns.count == 6 * rounds && Set(turns).count == 6 * rounds)
            return turns
        }

        private func resume(
            _ more: String..., sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let outcome = try Run(Self.plan + more + ["--resume", file]).finish()
            #expect(outcome.end == .exited(0), sourceLocation: sourceLocation)
            #expect(outcome.output == "" && outcome.errors == "", sourceLocation: sourceLocation)
            #expect(
                directory.names == ["rows.csv", "rows.csv.env.json"],
                sourceLocation: sourceLocation)
        }

        @Test(arguments: [SIGINT, SIGKILL])
        func afterASignalInMidSweep(_ signal: Int32) throws {
            let whole = try uninterrupted(rounds: 4)
            unlink(file)
            let run = try Run(Self.plan + ["--rounds", "4", "-o", file])
            #expect(eventually(within: 60) { readFile(file).count { $0 == "\n" } > 8 })
            run.signal(signal)
            let outcome = try run.finish()
            #expect(outcome.end == (signal == SIGINT ? .exited(130) : .signalled(SIGKILL)))
            run.expectNoSurvivors()
            try resume("--rounds", "4")
            #expect(try turns() == whole)
        }

        /// At every kind of place in a row: a writer that is killed may leave any of them.
        @Test(arguments: [0, 1, 17, 200])
        func afterACutInARow(bytes: Int) throws {
            let whole = try uninterrupted(rounds: 2)
            let text = readFile(file)
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            let kept = lines[..<6].joined(separator: "\n") + "\n"
            try writeFile(file, kept + lines[6].prefix(bytes))
            try resume("--rounds", "2")
            #expect(try turns() == whole)
            // What was there is there as it was.
            #expect(readFile(file).hasPrefix(kept))
        }

        /// A limit on the size of files stops a write in the middle of a row, as a full disk does.
        @Test func afterAFullDisk() throws {
            let whole = try uninterrupted(rounds: 3)
            unlink(file)
            let run = try Run(Self.plan + ["--rounds", "100000", "-o", file])
            #expect(eventually(within: 60) { readFile(file).count { $0 == "\n" } > 8 })
            let limit = readFile(file).utf8.count + 700
            let limiter = try Process.run(
                URL(filePath: "/usr/bin/prlimit"),
                arguments: ["--pid", "\(run.pid)", "--fsize=\(limit)"])
            limiter.waitUntilExit()
            #expect(limiter.terminationStatus == 0)
            let outcome = try run.finish()
            #expect(outcome.end == .exited(74))
            #expect(
                outcome.errors
                    == "dma-bench: write (\(file)): File too large; raise the limit on file size (ulimit -f)\n"
            )
            run.expectNoSurvivors()
            let stopped = try turns()
            try #require(stopped.count >= 8 && stopped.count < whole.count)
            #expect(stopped == Array(whole[..<stopped.count]))
            try resume("--rounds", "3")
            #expect(try turns() == whole)
        }

        /// Where turns are missing in the middle they are run; what failed is run again.
        @Test func rowsThatDoNotStandAreRunAgain() throws {
            let whole = try uninterrupted(rounds: 2)
            let lines = readFile(file).split(separator: "\n").map(String.init)
            var marked = lines
            marked[3] = marked[3].replacing(",ok,", with: ",failed:device 0 died,")
            marked[9] = marked[9].replacing(",ok,", with: ",interrupted,")
            #expect(marked[3] != lines[3] && marked[9] != lines[9])
            try writeFile(file, marked.joined(separator: "\n") + "\n")
            try resume("--rounds", "2")
            let turns = try turns()
            #expect(turns.count == whole.count && Set(turns) == Set(whole))
        }

        @Test func aRunCanBeMadeLonger() throws {
            let longer = try uninterrupted(rounds: 3)
            _ = try uninterrupted(rounds: 1)
            try resume("--rounds", "3")
            #expect(try turns() == longer)
            // Nothing is left to do.
            let before = readFile(file)
            try resume("--rounds", "3")
            #expect(readFile(file) == before)
        }

        @Test func jsonLinesGoOn() throws {
            let arguments = Self.plan + ["--format", "jsonl"]
            let first = try Run(arguments + ["--rounds", "1", "-o", file]).finish()
            #expect(first.end == .exited(0))
            let rows = readFile(file)
            let outcome = try Run(arguments + ["--rounds", "2", "--resume", file]).finish()
            #expect(outcome.end == .exited(0) && outcome.errors == "")
            #expect(readFile(file).hasPrefix(rows))
            #expect(readFile(file).count { $0 == "\n" } == 12)
        }

        /// A violation that was found before the interruption is not forgotten.
        @Test func violationsAreStillToldOf() throws {
            _ = try uninterrupted(rounds: 1)
            let lines = readFile(file).split(separator: "\n").map(String.init)
            let marked = lines.map {
                $0.contains("perpage") ? $0.replacing(",ok,", with: ",violation,") : $0
            }
            try writeFile(file, marked.joined(separator: "\n") + "\n")
            let outcome = try Run(Self.plan + ["--rounds", "1", "--resume", file]).finish()
            #expect(outcome.end == .exited(4))
            #expect(outcome.errors.hasPrefix("dma-bench: strategy 'perpage' claims safety"))
        }

        // MARK: Refusals

        @Test func anotherPlanIsRefused() throws {
            _ = try uninterrupted(rounds: 2)
            let before = readFile(file)
            let cases: [([String], String)] = [
                (["--size", "64K"], "--size differs, since its size_bytes is also '4194304'"),
                (
                    ["--size", "64K,4M,8M"],
                    "--size differs, since its size_bytes is never '8388608'"
                ),
                (["--strategy", "none"], "--strategy differs, since its strategy is also"),
                (["--misalign", "1"], "--misalign differs, since its misalign_bytes is also '0'"),
                (["--convert-rate", "7"], "--convert-rate differs"), (["--lanes", "2"], "--lanes"),
                (["--seed", "2"], "an option differs that rows do not show, such as --seed"),
                (["--ops", "21"], "an option differs that rows do not show"),
                (["--format", "jsonl"], "its rows are csv; --format must be the same"),
                (["--format", "table"], "its rows are csv; --format must be the same"),
                (["--raw", directory.file("raw")], "leave -o and --raw out"),
                (["-o", directory.file("other")], "leave -o and --raw out"),
                (["--shard", "1/2"], "rows of another --shard"),
            ]
            for (options, reason) in cases {
                let outcome = try Run(
                    Self.plan + ["--rounds", "2", "--resume", file] + options
                ).finish()
                #expect(outcome.end == .exited(64), "\(options)")
                #expect(
                    outcome.errors.hasPrefix("dma-bench: --resume \(file): ")
                        && outcome.errors.contains(reason) && outcome.errorLines.count == 1,
                    "\(options): \(outcome.errors)")
            }
            #expect(readFile(file) == before)
            #expect(directory.names == ["rows.csv", "rows.csv.env.json"])
        }

        @Test func whatIsNoFileOfThisRunIsRefused() throws {
            _ = try uninterrupted(rounds: 1)
            let lines = readFile(file).split(separator: "\n").map(String.init)
            let env = try Rows(csv: readFile(file)).rows[0]["env"]
            let run = try Rows(csv: readFile(file)).rows[0]["run"]
            let cases: [(String, String)] = [
                ("", "empty"), (lines[0].dropLast(9) + "", "not a file of rows"),
                (
                    lines.map { $0.replacing(env, with: "0123456789abcdef") }
                        .joined(separator: "\n") + "\n",
                    "measured in another environment (0123456789abcdef, now \(env))"
                ),
                (
                    (lines + [lines[1].replacing(run, with: "another")]).joined(separator: "\n")
                        + "\n", "rows of several runs"
                ),
            ]
            for (text, reason) in cases {
                try writeFile(file, text)
                let outcome = try Run(Self.plan + ["--resume", file]).finish()
                #expect(outcome.end == .exited(64), "\(reason)")
                #expect(
                    outcome.errors.contains(reason) && outcome.errorLines.count == 1,
                    "\(reason): \(outcome.errors)")
                #expect(readFile(file) == text)
            }
            let missing = try Run(Self.plan + ["--resume", directory.file("none")]).finish()
            #expect(missing.end == .exited(64))
        }
    }
}
