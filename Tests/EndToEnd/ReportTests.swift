import CRefuse
import Glibc
import Testing

extension EndToEnd {
    /// The page of a real run, and what happens where there can be none.
    @Suite struct ReportTests {
        private static let rows = [
            "--size", "4M", "--strategy", "none,rangetree", "--rounds", "2", "--ops", "20",
        ]

        @Test func aRunBecomesOnePage() throws {
            let directory = try TemporaryDirectory()
            let (file, page) = (directory.file("rows.csv"), directory.file("report.html"))
            _ = try Run(Self.rows + ["-o", file]).finish()
            try writeFile(page, "what was there before")
            let outcome = try run("report", file, "-o", page, "--no-pictures")
            #expect(outcome.end == .exited(0) && outcome.output == "" && outcome.errors == "")
            #expect(directory.names == ["report.html", "rows.csv", "rows.csv.env.json"])
            let text = readFile(page)
            #expect(text.hasPrefix("<!DOCTYPE html>") && text.hasSuffix("</html>\n"))
            #expect(text.contains("of the write with rangetree"))
            #expect(text.contains("&quot;clocksource&quot;"))
            // The same on standard output, and from standard input but for the environment.
            #expect(try run("report", file, "--no-pictures").output == text)
        }

        @Test func ofTwoEnvironmentsOnlyWhenForced() throws {
            let directory = try TemporaryDirectory()
            let files = ["a.csv", "b.csv"].map(directory.file)
            _ = try Run(Self.rows + ["-o", files[0]]).finish()
            let rows = try Rows(csv: readFile(files[0])).rows
            let env = rows[0]["env"]
            let other = String(repeating: env.hasPrefix("0") ? "1" : "0", count: env.count)
            let changed = readFile(files[0]).replacing(env, with: other)
            try writeFile(files[1], changed.replacing(rows[0]["run"], with: "another run"))
            let arguments = ["report"] + files + ["--no-pictures"]
            let refused = try Run(arguments).finish()
            #expect(refused.end == .exited(64) && refused.output == "")
            #expect(refused.errors.contains(env) && refused.errors.contains("--force"))
            #expect(refused.errorLines.count == 1)
            let forced = try Run(arguments + ["--force"]).finish()
            #expect(forced.end == .exited(0) && forced.output.contains("Rows of 2 environments"))
        }

        @Test func whatCannotBeReadOrWrittenIsOneLine() throws {
            let directory = try TemporaryDirectory()
            let file = directory.file("rows.csv")
            func expect(_ arguments: [String], _ status: Int32, _ text: String) throws {
                let outcome = try Run(["report"] + arguments).finish()
                #expect(outcome.end == .exited(status) && outcome.output == "", "\(arguments)")
                #expect(outcome.errorLines.count == 1 && outcome.errors.contains(text))
            }
            try expect([file], 64, "No such file")
            try expect([], 64, "files")
            try writeFile(file, "a,b\n1,2\n")
            try expect([file], 64, "not a file of rows")
            _ = try Run(Self.rows + ["-o", file]).finish()
            let header = readFile(file).prefix { $0 != "\n" } + "\n"
            try expect(
                [file, "--no-pictures", "-o", directory.path + "/none/x.html"], 74,
                "create the directory first")
            #expect(directory.names == ["rows.csv", "rows.csv.env.json"])
            try writeFile(file, String(header))
            try expect([file], 64, "no rows")
        }

        /// What there is, and why it does not do, also for pictures.
        @Test func rowsOfWhichNoneWasMeasuredAreTold() throws {
            let directory = try TemporaryDirectory()
            let file = directory.file("rows.csv")
            _ = try Run(
                [
                    "--size", "4M", "--strategy", "kernelpin,rangetree", "--rounds", "2", "--ops",
                    "1", "-o", file,
                ], refusing: Run.Refusal(call: CREFUSE_IO_URING_SETUP, error: EPERM)
            ).finish()
            let lines = readFile(file).split(separator: "\n")
            let kept = [lines[0]] + lines.filter { $0.contains(",kernelpin,") }
            try writeFile(file, kept.joined(separator: "\n") + "\n")
            let status = try Rows(csv: readFile(file)).rows[0]["status"]
            #expect(kept.count == 3 && status.hasPrefix("unavailable:io_uring_setup: "))
            let problem =
                "2 rows, none of them measured: 'kernelpin' \(status) (2 rows); "
                + "name a file with rows that are 'ok'\n"
            let report = try run("report", file, "--no-pictures")
            #expect(report.end == .exited(64) && report.output == "")
            #expect(report.errors == "dma-bench: \(file): \(problem)")
            let plot = try run("plot", file, "--out", directory.file("pictures"))
            #expect(plot.end == .exited(64) && plot.output == "")
            #expect(plot.errors == "dma-bench: \(file): nothing to draw: \(problem)")
        }

        /// Not replaced: whoever is root would be without the device.
        @Test func aDeviceIsWrittenTo() throws {
            let directory = try TemporaryDirectory()
            let file = directory.file("rows.csv")
            _ = try Run(Self.rows + ["-o", file]).finish()
            let outcome = try run("report", file, "--no-pictures", "-o", "/dev/full")
            #expect(outcome.end == .exited(74) && outcome.errors.contains("/dev/full"))
        }

        @Test func withoutGnuplotItSaysWhatToDo() throws {
            let directory = try TemporaryDirectory()
            let file = directory.file("rows.csv")
            _ = try Run(Self.rows + ["-o", file]).finish()
            let outcome = try run("report", file, environment: ["PATH": directory.path])
            #expect(outcome.end == .exited(69) && outcome.output == "")
            #expect(
                outcome.errors.contains("apt-get install gnuplot-nox")
                    && outcome.errors.contains("--no-pictures"))
        }
    }
}
