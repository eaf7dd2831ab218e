import CRefuse
import DmaLinux
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

        /// For a mail: the rows of a real run, which lie beside the text that they give.
        @Test func asTextItIsGolden() throws {
            let directory = try TemporaryDirectory()
            let file = directory.file("rows.csv")
            try writeFile(file, Golden.read("mail-rows.csv"))
            try writeFile(file + ".env.json", Golden.read("mail-rows.csv.env.json"))
            let outcome = try run("report", file, "--format", "text")
            #expect(outcome.end == .exited(0) && outcome.errors == "")
            let place = "/tmp/dma-bench-test-"
            let text = outcome.output.replacing(directory.path, with: place + "XXXXXX")
                .replacing("(release)", with: "(debug)")
            try Golden.expect(text, is: "mail.txt")
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            #expect(lines.allSatisfy { $0.count <= 72 && !$0.hasSuffix(" ") })
            #expect(text.utf8.allSatisfy { $0 == 0x0A || (0x20..<0x7F).contains($0) })
            // The command is one that the program takes, and plans what was measured.
            let words = try Self.command(in: text)
            #expect(try Run(words + ["--dry-run"]).finish().output.hasPrefix("4 cells x 2 rounds "))
            // Wherever it stands.
            #expect(try run("--format", "text", "report", file).output == outcome.output)
            let unknown = try run("report", file, "--format", "csv")
            #expect(unknown.end == .exited(64) && unknown.errors.contains("html, text"))
        }

        /// A list that is longer than a line is broken so that a shell puts it together again.
        @Test func aLongCommandIsTakenByAShell() throws {
            let directory = try TemporaryDirectory()
            let file = directory.file("rows.csv")
            let names =
                "perpage,rangetree,slots,longlived,pincache,epoch,intervaltree,mutexlist,perpage-swar,none"
            let options = ["--size", "64K", "--strategy", names, "--rounds", "1", "--ops", "1"]
            let rest = ["--convert-where", "mixed", "--convert-pages", "2", "--policy", "wait"]
            _ = try Run(options + rest + ["-o", file]).finish()
            let text = try run("report", file, "--format", "text").output
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            #expect(lines.allSatisfy { $0.count <= 72 })
            let words = try Self.command(in: text)
            #expect(words.contains("--convert-pages") && words.contains("2"))
            let strategies = try #require(words.first { $0.contains("rangetree") })
            #expect(Set(strategies.split(separator: ",")) == Set(names.split(separator: ",")))
        }

        /// The arguments of the command in a text, as a shell takes them.
        private static func command(in text: String) throws -> [String] {
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            let start = try #require(lines.firstIndex { $0.hasPrefix("  dma-bench ") })
            let command = lines[start...].prefix { !$0.isEmpty }.joined(separator: "\n")
            let script = "set -- \(command.dropFirst("  dma-bench ".count))\nprintf '%s|' \"$@\""
            let shell = try Tool.run(["sh", "-c", script], input: []) { false }
            return String(decoding: shell.output, as: UTF8.self).split(separator: "|")
                .map(String.init)
        }

        /// Side by side, and as one measurement only where that is asked for; `compare` says where to go.
        @Test func rowsOfTwoMachinesStandSideBySide() throws {
            let directory = try TemporaryDirectory()
            let files = ["a.csv", "b.csv"].map(directory.file)
            _ = try Run(Self.rows + ["-o", files[0]]).finish()
            let rows = try Rows(csv: readFile(files[0])).rows
            let env = rows[0]["env"]
            let other = String(repeating: env.hasPrefix("0") ? "1" : "0", count: env.count)
            let changed = readFile(files[0]).replacing(env, with: other)
            try writeFile(files[1], changed.replacing(rows[0]["run"], with: "another run"))
            let arguments = ["report"] + files + ["--no-pictures"]
            let page = try Run(arguments).finish()
            #expect(page.end == .exited(0) && page.errors == "")
            #expect(page.output.contains("sync share B") && page.output.contains(other))
            #expect(page.output.contains("No sentence says anything of all machines"))
            let text = try Run(arguments + ["--format", "text"]).finish()
            let words = text.output.replacing("\n", with: " ")
            #expect(text.end == .exited(0) && words.contains("A has one run, B has one run"))
            #expect(text.output.split(separator: "\n").allSatisfy { $0.count <= 72 })
            let forced = try Run(arguments + ["--force"]).finish()
            #expect(forced.end == .exited(0) && forced.output.contains("Rows of 2 environments"))
            let compared = try Run(["compare"] + files).finish()
            #expect(compared.end == .exited(64) && compared.output == "")
            #expect(compared.errors.contains("'dma-bench report \(files[0]) \(files[1])'"))
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
