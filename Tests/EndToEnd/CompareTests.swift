import Testing

extension EndToEnd {
    /// What a change of rows comes to: text, and exit status.
    @Suite struct CompareTests {
        private let directory: TemporaryDirectory
        private let header: [String]
        private let rows: [ResultRow]

        /// Measured once for all tests: what a test changes is a copy.
        private static let measured = Result {
            let outcome = try run(
                "--size", "4K", "--strategy", "perpage,rangetree", "--rounds", "8", "--ops", "10")
            return try Rows(csv: outcome.output)
        }

        /// Real rows with times that are known, as if each of eight rounds were a run of its own.
        init() throws {
            directory = try TemporaryDirectory()
            let table = try Self.measured.get()
            header = table.header
            rows = table.rows.map { row in
                var fields = row.fields
                fields["dma_ns_p50"] = "1000\(row["round"])"
                fields["noisy"] = ""
                fields["run"] = "r\(row["round"])"
                return ResultRow(fields: fields)
            }
        }

        private func file(
            _ name: String, runs: Int = 8,
            _ change: (inout [String: String]) throws -> Void = { _ in }
        ) throws -> String {
            var text = header.joined(separator: ",") + "\n"
            for row in rows where try row.count("round") <= runs {
                var fields = row.fields
                try change(&fields)
                text += header.map { fields[$0]! }.joined(separator: ",") + "\n"
            }
            try writeFile(directory.file(name), text)
            return directory.file(name)
        }

        private func slower(_ fields: inout [String: String]) {
            if fields["strategy"] == "rangetree" { fields["dma_ns_p50"]! += "0" }
        }

        @Test func equalRunsPass() throws {
            let base = try file("base.csv")
            let outcome = try run("compare", base, base, "--fail-on", "5%")
            #expect(outcome.end == .exited(0) && outcome.errors == "")
            let lines = outcome.output.split(separator: "\n")
            #expect(lines.count { $0.hasSuffix(" ~") } == 2, "\(outcome.output)")
        }

        @Test func aRegressionIsStatusThree() throws {
            let (base, new) = (try file("base.csv"), try file("new.csv", slower))
            let outcome = try run("compare", base, new, "--fail-on", "5%")
            #expect(outcome.end == .exited(3))
            #expect(
                outcome.errors == """
                    dma-bench: 1 of 2 comparisons slower by more than 5%; first: rangetree, dma_ns_p50

                    """)
            #expect(outcome.output.contains("slower\n"))
            // The other way round it is faster, and without a threshold it is only told.
            #expect(try run("compare", new, base, "--fail-on", "5%").end == .exited(0))
            #expect(try run("compare", base, new).end == .exited(0))
        }

        /// Four runs are enough for every cell of a sweep, however long they are.
        @Test func fourRunsOfAHundredTimesTheTimeAreARegression() throws {
            let (base, new) = (
                try file("base.csv", runs: 4),
                try file("new.csv", runs: 4) { $0["dma_ns_p50"]! += "00" }
            )
            let outcome = try run("compare", base, new, "--fail-on", "5%")
            #expect(outcome.end == .exited(3))
            #expect(outcome.errors.contains("2 of 2 comparisons slower by more than 5%"))
        }

        /// A gate that nothing could ever fail is no gate.
        @Test(arguments: [1, 3]) func aGateThatCannotFailIsRefused(runs: Int) throws {
            let (base, new) = (
                try file("base.csv"), try file("new.csv", runs: runs) { $0["dma_ns_p50"]! += "00" }
            )
            for (one, other) in [(base, new), (new, base)] {
                let outcome = try run("compare", one, other, "--fail-on", "5%")
                #expect(outcome.end == .exited(64))
                #expect(outcome.errorLines.count == 1)
                #expect(outcome.errors.contains("--fail-on 5%: nothing could ever fail"))
                #expect(outcome.errors.contains("--repeat 4"))
                // Without it what is known is shown.
                let shown = try run("compare", one, other)
                #expect(shown.end == .exited(0))
                #expect(
                    shown.output.contains(runs == 1 ? "  one run\n" : "  3 runs\n"),
                    "\(shown.output)")
            }
        }

        @Test func withinARunRoundsDecide() throws {
            let one = try file("one.csv") { $0["run"] = "r" }
            let new = try file("new.csv") {
                $0["run"] = "r"
                slower(&$0)
            }
            let arguments = ["compare", "--col", "strategy", "--fail-on", "5%"]
            #expect(try Run(arguments + [one]).finish().end == .exited(0))
            let outcome = try Run(arguments + [new]).finish()
            #expect(outcome.end == .exited(3) && outcome.output.contains("8 rounds"))
            let few = try file("few.csv", runs: 5) { $0["run"] = "r" }
            let refused = try Run(arguments + [few]).finish()
            #expect(refused.end == .exited(64) && refused.errors.contains("--rounds 6"))
        }

        @Test func oneFileIsComparedByAColumn() throws {
            let new = try file("new.csv", slower)
            let outcome = try run(
                "compare", "--col", "strategy", "--base", "perpage", new, "--format", "csv",
                "--metric", "dma_ns_p50,pin_ns_p50")
            #expect(outcome.end == .exited(0))
            let cells = try Rows(csv: outcome.output).rows
            #expect(cells.map(\.strategy) == ["rangetree", "rangetree"])
            #expect(cells[0]["verdict"] == "slower")
            #expect(abs(try cells[0].number("ratio") - 10) < 1e-9)
            #expect(cells[0]["base"] == "perpage" && cells[1]["metric"] == "pin_ns_p50")
        }

        @Test func environmentsThatDifferAreRefusedUnlessForced() throws {
            let (base, new) = (try file("base.csv"), try file("new.csv") { $0["env"] = "0123" })
            let refused = try run("compare", base, new)
            #expect(refused.end == .exited(64) && refused.output == "")
            #expect(refused.errorLines.count == 1 && refused.errors.contains("--force"))
            #expect(!refused.errors.contains("diff "))
            for path in [base, new] { try writeFile(path + ".env.json", "{}") }
            #expect(
                try run("compare", base, new).errors.contains(
                    "(diff \(base).env.json \(new).env.json)"))
            let forced = try run("compare", base, new, "--force")
            #expect(forced.end == .exited(0) && forced.errors.hasPrefix("dma-bench: warning: "))
            #expect(forced.errorLines.count == 1)
        }

        @Test func aNewViolationIsStatusFour() throws {
            let base = try file("base.csv")
            let new = try file("new.csv") {
                slower(&$0)
                if $0["strategy"] == "perpage", $0["round"] == "2" { $0["status"] = "violation" }
            }
            let outcome = try run("compare", base, new, "--fail-on", "5%")
            #expect(outcome.end == .exited(4), "\(outcome.errors)")
            #expect(outcome.errors.hasSuffix("first: perpage\n"))
            #expect(outcome.output.contains("left out: perpage violation (1 row)"))
        }

        @Test func notesOfCSVAreOnStandardError() throws {
            let (base, new) = (
                try file("base.csv"), try file("new.csv") { $0["noisy"] = "cpu" }
            )
            let outcome = try run("compare", base, new, "--format", "jsonl")
            #expect(outcome.end == .exited(0))
            #expect(outcome.output.split(separator: "\n").allSatisfy { $0.hasPrefix("{") })
            #expect(outcome.errors == "\(new): noisy: cpu (16 rows)\n")
        }

        @Test func whatMakesNoSenseIsOneLine() throws {
            let base = try file("base.csv")
            let other = try file("other.csv") { $0["policy"] = "wait" }
            for arguments in [
                [], [base], [base, base, base], [base, "/nonexistent"], ["-", "-"],
                [base, base, "--base", "perpage"], [base, base, "--fail-on", "5"],
                [base, base, "--fail-on", "-5%"], [base, base, "--fail-on", "nan%"],
                [base, base, "--metric", "dma_p50"], [base, base, "--metric", "round"],
                [base, base, "--format", "xml"], [base, "--col", "ops"],
                [base, base, "--col", "strategy"], [base, "--col", "strategy", "--base", "no"],
                [base, base, "--metric", "copy_ns_p50"],
            ] {
                let outcome = try Run(["compare"] + arguments).finish()
                #expect(outcome.end == .exited(64), "\(arguments)")
                #expect(outcome.errorLines.count == 1, "\(arguments): \(outcome.errors)")
            }
            // A gate that compared nothing must not look as if it had passed.
            #expect(try run("compare", base, other, "--fail-on", "5%").end == .exited(64))
        }
    }
}
