import DmaLinux
import Glibc
import Testing

extension EndToEnd {
    /// Several runs into one output.
    @Suite struct RepeatTests {
        private static let plan = [
            "--size", "64K", "--strategy", "none,perpage", "--ops", "20", "--no-write", "--rounds",
            "2",
        ]
        private let directory: TemporaryDirectory
        private let file: String

        init() throws {
            directory = try TemporaryDirectory()
            file = directory.file("rows.csv")
        }

        /// The number of its run, counted in the order of the file, and the turn of each row.
        private func turns(in file: String) throws -> [String] {
            let rows = try Rows(csv: readFile(file)).rows
            var runs: [String] = []
            for row in rows {
                expectGood(row)
                if !runs.contains(row["run"]) { runs.append(row["run"]) }
            }
            #expect(Set(rows.map { $0["plan"] }).count == 1)
            return rows.map {
                "\(runs.firstIndex(of: $0["run"])!) \($0["round"]) \($0["position"]) \($0.strategy)"
            }
        }

        private func measure(_ more: String..., status: Int32 = 0) throws {
            let outcome = try Run(Self.plan + more).finish()
            #expect(outcome.end == .exited(status) && outcome.errors == "")
        }

        @Test func eachRunIsWholeAndHasANameOfItsOwn() throws {
            try measure("--repeat", "3", "-o", file)
            let turns = try turns(in: file)
            #expect(turns.count == 12 && Set(turns).count == 12)
            #expect(turns.map { $0.prefix(1) }.sorted() == turns.map { $0.prefix(1) })
            #expect(Set(turns.map { $0.dropFirst() }).count == 4)
            // One run has the same plan.
            try measure("-o", directory.file("one.csv"))
            let plans = try [file, directory.file("one.csv")].map {
                try Rows(csv: readFile($0)).rows[0]["plan"]
            }
            #expect(plans[0] == plans[1])
        }

        /// The devices of a run are not those of the run before.
        @Test func eachRunHasDevicesOfItsOwn() throws {
            let run = try Run([
                "--size", "64K", "--strategy", "none", "--rounds", "1", "--seconds", "0.3",
                "--repeat", "3",
            ])
            var seen: Set<Int32> = []
            _ = eventually(within: 60) {
                seen.formUnion(run.devices.values)
                return !Processes.isAlive(run.pid)
            }
            #expect(try run.finish().end == .exited(0))
            #expect(seen.count == 3)
        }

        @Test(arguments: [SIGINT, SIGKILL]) func goesOnAfterASignal(_ signal: Int32) throws {
            try measure("--repeat", "4", "-o", file)
            let whole = try turns(in: file)
            let run = try Run(Self.plan + ["--repeat", "4", "-o", file])
            #expect(
                eventually(within: 60) {
                    (6..<16).contains(readFile(file).count { $0 == "\n" })
                })
            run.signal(signal)
            let outcome = try run.finish()
            // It may have come to its end in the meantime.
            if case .exited(0) = outcome.end {
            } else {
                #expect(outcome.end == (signal == SIGINT ? .exited(130) : .signalled(SIGKILL)))
            }
            run.expectNoSurvivors()
            let before = readFile(file).split(separator: "\n").dropFirst().prefix(5)
            try measure("--repeat", "4", "--resume", file)
            #expect(try turns(in: file) == whole)
            #expect(readFile(file).split(separator: "\n").dropFirst().prefix(5) == before)
            // More of the same are no other plan, and fewer than there are make no sense.
            try measure("--repeat", "5", "--resume", file)
            #expect(try turns(in: file).count == 20)
            let refused = try Run(Self.plan + ["--repeat", "2", "--resume", file]).finish()
            #expect(refused.end == .exited(64) && refused.errors.contains("--repeat 5"))
        }

        @Test func shardsOfRunsAreMerged() throws {
            let files = ["1.csv", "2.csv"].map { directory.file($0) }
            for (shard, path) in zip(["1/2", "2/2"], files) {
                try measure(
                    "--size", "64K,128K", "--shard", shard, "--repeat", "2", "-o", path)
            }
            let merged = try Run(["merge"] + files + ["-o", file]).finish()
            #expect(merged.end == .exited(0) && merged.errors == "")
            let rows = try Rows(csv: readFile(file)).rows
            #expect(rows.count == 16)
            // The same runs twice are still found.
            #expect(try run("merge", file, files[0]).end == .exited(64))
            let runs = Dictionary(grouping: rows) { $0["size_bytes"] }.values.map { rows in
                Set(rows.map { $0["run"] }).count
            }
            #expect(runs == [2, 2])
        }

        @Test func whatMakesNoSenseIsRefused() throws {
            for options in [
                ["--repeat", "0"], ["--repeat", "x"],
                ["--repeat", "2", "--raw", directory.file("raw")],
            ] {
                let outcome = try Run(Self.plan + options).finish()
                #expect(outcome.end == .exited(64) && outcome.errorLines.count == 1, "\(options)")
            }
            let plan = try Run(Self.plan + ["--repeat", "3", "--dry-run"]).finish()
            #expect(plan.output.hasPrefix("2 cells x 2 rounds x 3 runs = 12 turns\n"))
        }
    }
}
