import Foundation
import Glibc
import Testing

extension EndToEnd {
    /// Plans in parts, runs that end by themselves, and files put together.
    @Suite struct SweepTests {
        private static let plan = [
            "--size", "64K,1M,4M", "--misalign", "0..2:+1", "--strategy", "none,rangetree",
            "--ops", "5", "--no-write", "--rounds", "2",
        ]
        private let directory: TemporaryDirectory

        init() throws { directory = try TemporaryDirectory() }

        private func measure(_ name: String, _ more: String...) throws -> String {
            let file = directory.file(name)
            let outcome = try Run(Self.plan + more + ["-o", file]).finish()
            #expect(outcome.end == .exited(0) && outcome.errors == "")
            return file
        }

        private func merge(_ arguments: String...) throws -> Run.Outcome {
            try Run(["merge"] + arguments).finish()
        }

        private func turn(_ row: ResultRow) -> String {
            ["round", "size_bytes", "misalign_bytes", "strategy", "position", "plan"]
                .map { row[$0] }.joined(separator: " ")
        }

        @Test func misalignmentIsSwept() throws {
            let rows = try Rows(csv: readFile(measure("rows.csv"))).rows
            #expect(rows.count == 36)
            #expect(Set(rows.map { $0["misalign_bytes"] }) == ["0", "4096", "8192"])
            // Buffers lie where the row says: an aligned one shares no lines of its tree with more.
            for row in rows { #expect(row["status"] == "ok") }
        }

        @Test(arguments: [2, 4])
        func mergedShardsAreThePlan(count: Int) throws {
            let whole = try Rows(csv: readFile(measure("whole.csv"))).rows
            let shards = try (1...count).map {
                try measure("\($0).csv", "--shard", "\($0)/\(count)")
            }
            let merged = directory.file("merged.csv")
            let outcome = try Run(["merge"] + shards + ["-o", merged]).finish()
            #expect(outcome.end == .exited(0) && outcome.output == "" && outcome.errors == "")
            let rows = try Rows(csv: readFile(merged)).rows
            #expect(Set(rows.map(turn)) == Set(whole.map(turn)) && rows.count == whole.count)
            #expect(
                try rows.map { try $0.count("round") }
                    == rows.map { try $0.count("round") }.sorted())
            // In a round the rows of a shard come as they were measured.
            let first = try Rows(csv: readFile(shards[0])).rows
            #expect(
                rows.prefix(first.count / 2).map(turn) == first.prefix(first.count / 2).map(turn))
        }

        @Test func mergeKeepsRowsToTheByte() throws {
            let file = try measure("rows.csv")
            let text = readFile(file)
            #expect(try merge(file).output == text)
            let jsonl = try merge(file, "--format", "jsonl").output
            #expect(jsonl.count { $0 == "\n" } == 36 && jsonl.hasPrefix("{\"schema\":2,"))
            try writeFile(directory.file("rows.jsonl"), jsonl)
            #expect(try merge(directory.file("rows.jsonl")).output == text)
            // Into one of its own inputs.
            #expect(try merge(file, "-o", file).end == .exited(0))
            #expect(readFile(file) == text)
        }

        /// The machine of every file is known of what they became, also when that is merged again.
        @Test func mergeKeepsEnvironments() throws {
            let shards = try (1...3).map { try measure("\($0).csv", "--shard", "\($0)/3") }
            /// Members of an array one by one, each spelt in one way.
            func environments(_ file: String) throws -> [String] {
                let json = try JSONSerialization.jsonObject(
                    with: Data(readFile(file + ".env.json").utf8))
                return try (json as? [Any] ?? [json]).map {
                    let data = try JSONSerialization.data(
                        withJSONObject: $0, options: .sortedKeys)
                    return String(decoding: data, as: UTF8.self)
                }
            }
            let (two, three) = (directory.file("two.csv"), directory.file("three.csv"))
            #expect(try merge(shards[0], shards[1], "-o", two).errors == "")
            #expect(try merge(two, shards[2], "-o", three).errors == "")
            let single = try shards.flatMap(environments)
            #expect(single.count == 3 && Set(single).count == 3)
            #expect(try environments(two) == Array(single[..<2]))
            #expect(try environments(three) == single)
            let page = try run("report", three, "--no-pictures").output
            #expect(page.contains("Environment of \(three)</summary>"))
            #expect(!page.contains("not the one that the rows name"))

            // One stays as it is, and where there is none nothing is made up.
            let one = directory.file("one.csv")
            #expect(try merge(shards[0], "-o", one).errors == "")
            #expect(readFile(one + ".env.json") == readFile(shards[0] + ".env.json"))
            unlink(shards[0] + ".env.json")
            unlink(one + ".env.json")
            let without = try merge(shards[0], "-o", one)
            #expect(
                without.end == .exited(0)
                    && without.errors == "dma-bench: no environment of \(shards[0]) is known\n")
            #expect(access(one + ".env.json", F_OK) == -1)
        }

        @Test func mergeRefusesWhatDoesNotBelongTogether() throws {
            let file = try measure("rows.csv")
            let text = readFile(file)
            let row = try Rows(csv: text).rows[0]
            func expectRefusal(
                _ arguments: [String], _ reason: String,
                sourceLocation: SourceLocation = #_sourceLocation
            ) throws {
                let outcome = try Run(["merge"] + arguments).finish()
                #expect(
                    outcome.end == .exited(64) && outcome.output == ""
                        && outcome.errorLines.count == 1 && outcome.errors.contains(reason),
                    "\(outcome.errors)", sourceLocation: sourceLocation)
            }
            func variant(_ name: String, _ old: String, _ new: String) throws -> String {
                let path = directory.file(name)
                try writeFile(path, text.replacing(old, with: new))
                return path
            }
            try expectRefusal(
                [file, file],
                "strategy '\(row.strategy)' with \(row["size_bytes"]) bytes in round 1 is in \(file) as well; "
                    + "--keep-duplicates")
            let both = try merge(file, file, "--keep-duplicates")
            #expect(try Rows(csv: both.output).rows.count == 72)

            let elsewhere = try variant("env.csv", row["env"], "0123456789abcdef")
            try expectRefusal([file, elsewhere], "measured in another environment than \(file)")
            try expectRefusal([file, elsewhere, "--force"], "--keep-duplicates keeps both")
            let otherPlan = try variant("plan.csv", row["plan"], "0123456789abcdef")
            try expectRefusal([file, otherPlan], "of another plan than \(file)")
            #expect(
                try Rows(csv: merge(file, otherPlan, "--force").output).rows.count == 72)

            let later = try variant("later.csv", "schema,", "schema,novelty,")
            try writeFile(
                later,
                readFile(later).replacing("\n2,", with: "\n2,new,"))
            try expectRefusal([later], "column 'novelty' would be lost")
            try expectRefusal([directory.file("none.csv")], "none.csv")
            try expectRefusal([file, "--format", "table"], "--format table")
            try expectRefusal([], "Missing expected argument")
        }

        // MARK: Until stable

        @Test func endsWhenMediansAreKnown() throws {
            // No two medians differ by more than all of themselves.
            let outcome = try run(
                "--size", "4M", "--strategy", "none,rangetree", "--ops", "20", "--no-write",
                "--until-stable", "100%", "--rounds", "200")
            #expect(outcome.end == .exited(0))
            let rounds = try Rows(csv: outcome.output).rows.count / 2
            #expect(rounds >= 6)
            #expect(outcome.errors == "dma-bench: stable after \(rounds) rounds\n")
        }

        @Test func saysWhatIsNotStable() throws {
            let outcome = try run(
                "--size", "4M", "--strategy", "none,rangetree", "--ops", "20", "--no-write",
                "--until-stable", "1e-9%", "--rounds", "7")
            #expect(outcome.end == .exited(0))
            #expect(try Rows(csv: outcome.output).rows.count == 14)
            let line =
                /dma-bench: not stable within 7 rounds: '(none|rangetree)' 4M \+-[0-9.]+ %\n/
            #expect(outcome.errors.wholeMatch(of: line) != nil, "\(outcome.errors)")
        }

        @Test(arguments: [
            ["--until-stable", "2"], ["--until-stable", "0%"], ["--until-stable", "x%"],
            ["--until-stable", "2%", "--rounds", "5"], ["--shard", "0/3"], ["--shard", "4/3"],
            ["--shard", "1"], ["--shard", "1/2/3"], ["--shard", "1/100"], ["--misalign", "0..8"],
        ])
        func senselessOptionsAreRefused(_ arguments: [String]) throws {
            let outcome = try Run(arguments + ["--dry-run"]).finish()
            #expect(outcome.end == .exited(64) && outcome.errorLines.count == 1)
            #expect(outcome.errors.contains(arguments[arguments.count - 2]), "\(outcome.errors)")
        }
    }
}
