import Foundation
import Testing

extension EndToEnd {
    /// Where rows go, in which form, and what happens where they cannot.
    @Suite struct OutputTests {
        private static let small = [
            "--size", "4M", "--strategy", "none,rangetree", "--rounds", "2", "--ops", "20",
            "--no-write",
        ]

        // MARK: Files

        @Test func fileHasRowsAndItsEnvironmentBeside() throws {
            let directory = try TemporaryDirectory()
            let file = directory.file("rows.csv")
            try writeFile(file, "what was there before\n")
            let outcome = try Run(Self.small + ["-o", file]).finish()
            #expect(outcome.end == .exited(0) && outcome.output == "" && outcome.errors == "")
            #expect(directory.names == ["rows.csv", "rows.csv.env.json"])
            let rows = try Rows(csv: readFile(file)).rows
            #expect(rows.count == 4)
            for row in rows { expectGood(row) }

            let text = readFile(file + ".env.json")
            let json = try JSONSerialization.jsonObject(with: Data(text.utf8))
            let object = try #require(json as? [String: Any])
            #expect(object["env"] as? String == rows[0]["env"])
            #expect(rows.allSatisfy { $0["env"] == rows[0]["env"] })
        }

        /// No file lies beside a device, or beside a descriptor, whatever is behind that.
        @Test(arguments: ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link", "/dev/null"])
        func besideWhatIsNoFileThereIsNoEnvironment(_ name: String) throws {
            let directory = try TemporaryDirectory()
            let output = name == "link" ? directory.file(name) : name
            if name == "link" { try #require(symlink("/dev/stdout", output) == 0) }
            defer { unlink(output + ".env.json") }
            let run = try Run(Self.small + ["-o", output])
            let outcome = try run.finish()
            #expect(outcome.end == .exited(0))
            #expect(access(output + ".env.json", F_OK) == -1)
            #expect(
                outcome.errors
                    == "dma-bench: the environment is not written, since no file can lie beside "
                    + "\(output); 'dma-bench env' prints it\n")
            if name != "/dev/null" { #expect(try Rows(csv: outcome.output).rows.count == 4) }
        }

        @Test func besideAPipeThereIsNoEnvironment() throws {
            let directory = try TemporaryDirectory()
            let pipe = directory.file("pipe")
            try #require(mkfifo(pipe, 0o600) == 0)
            // A reader that is there, and takes its time.
            let reader = open(pipe, O_RDWR | O_CLOEXEC)
            defer { close(reader) }
            let outcome = try Run(Self.small + ["-o", pipe]).finish()
            #expect(outcome.end == .exited(0) && directory.names == ["pipe"])
            #expect(outcome.errors.contains("'dma-bench env' prints it"))
        }

        /// Results are published: nothing in them tells whose machine it was.
        @Test func environmentNamesNoHost() throws {
            let directory = try TemporaryDirectory()
            let file = directory.file("rows.csv")
            _ = try Run(Self.small + ["-o", file]).finish()
            let json = try JSONSerialization.jsonObject(
                with: Data(readFile(file + ".env.json").utf8))
            var texts: Set<String> = []
            func collect(_ value: Any) {
                switch value {
                case let object as [String: Any]: object.values.forEach(collect)
                case let array as [Any]: array.forEach(collect)
                case let text as String: texts.insert(text)
                default: break
                }
            }
            collect(json)
            #expect(texts.count > 10)
            let host = readFile("/proc/sys/kernel/hostname").trimmingCharacters(in: .newlines)
            #expect(!texts.contains(host))
            // A short name may be a part of anything.
            if host.count >= 6 { #expect(texts.allSatisfy { !$0.contains(host) }) }
            let commandLine = readFile("/proc/cmdline").trimmingCharacters(in: .newlines)
            if !commandLine.isEmpty { #expect(texts.allSatisfy { !$0.contains(commandLine) }) }
        }

        @Test(arguments: [
            ["--size", "3K"], ["--strategy", "rangetre"], ["--device-cpu", "1023"],
            ["--size", "15T"], ["--memory-node", "1023"], ["--format", "xml"], ["--bogus"],
            ["--policy", "revoke"], ["--raw", "/nonexistent/raw.csv", "--size", "15T"],
        ])
        func refusedRunLeavesTheFileAlone(_ arguments: [String]) throws {
            let directory = try TemporaryDirectory()
            let file = directory.file("rows.csv")
            try writeFile(file, "results of a week\n")
            let outcome = try Run(["--size", "4M", "-o", file] + arguments).finish()
            let status = try #require(outcome.status)
            #expect([64, 69].contains(status), "\(outcome.errors)")
            #expect(readFile(file) == "results of a week\n")
            #expect(directory.names == ["rows.csv"])
        }

        @Test func rawFileHasARowForEveryOperation() throws {
            let directory = try TemporaryDirectory()
            let file = directory.file("raw.csv")
            let outcome = try Run(
                [
                    "--size", "4M", "--strategy", "none,rangetree", "--rounds", "2", "--ops", "50",
                    "--devices", "2", "--convert-rate", "5000", "--convert-where", "inside",
                    "--raw", file,
                ]
            ).finish()
            #expect(outcome.end == .exited(0) && outcome.errors == "")
            let rows = try Rows(csv: outcome.output).rows
            let raw = try Rows(csv: readFile(file))
            for row in rows {
                let single = raw.rows.filter {
                    $0["round"] == row["round"] && $0.strategy == row.strategy
                }
                let good = single.filter { $0["status"] == "0" }
                #expect(try good.count == row.count("ops"))
                #expect(try single.count - good.count == row.count("refused"))
                #expect(good.allSatisfy { $0["bytes"] == "4194304" })
                for column in raw.header where column.hasSuffix("_ns") {
                    #expect(single.allSatisfy { $0[column].wholeMatch(of: /[0-9]+\.[0-9]/) != nil })
                }
                // No request is there twice.
                let requests = Set(single.map { "\($0["device"]) \($0["request"])" })
                #expect(requests.count == single.count)
            }
        }

        // MARK: Formats

        @Test func jsonLinesHaveTheColumnsOfCSV() throws {
            let csv = try Rows(csv: Run(Self.small).finish().output)
            let outcome = try Run(Self.small + ["--format", "jsonl"]).finish()
            #expect(outcome.end == .exited(0) && outcome.errors == "")
            let lines = outcome.output.split(separator: "\n")
            #expect(lines.count == csv.rows.count)
            for line in lines {
                let json = try JSONSerialization.jsonObject(with: Data(line.utf8))
                let object = try #require(json as? [String: Any])
                #expect(Set(object.keys) == Set(csv.header))
                #expect(object["status"] as? String == "ok")
                #expect(object["ops"] is NSNumber && object["faults"] is NSNull)
            }
        }

        @Test(arguments: ["table", "markdown"])
        func formatsForPeopleHaveALinePerRow(_ format: String) throws {
            let outcome = try Run(Self.small + ["--format", format]).finish()
            #expect(outcome.end == .exited(0) && outcome.errors == "")
            let lines = outcome.output.split(separator: "\n")
            #expect(lines.count == (format == "table" ? 1 : 2) + 4)
            #expect(lines.count { $0.contains("rangetree") } == 2)
        }

        // MARK: What cannot be written

        private func expectOutputFailure(
            _ outcome: Run.Outcome, sourceLocation: SourceLocation = #_sourceLocation
        ) {
            #expect(outcome.end == .exited(74), sourceLocation: sourceLocation)
            #expect(
                outcome.errorLines.count == 1 && outcome.errors.hasPrefix("dma-bench: "),
                "\(outcome.errors)", sourceLocation: sourceLocation)
        }

        @Test func readerThatHasGoneEndsTheRun() throws {
            var ends: [Int32] = [-1, -1]
            try #require(pipe(&ends) == 0)
            for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
            close(ends[0])
            let run = try Run(Self.small, output: .descriptor(ends[1]))
            close(ends[1])
            let outcome = try run.finish()
            expectOutputFailure(outcome)
            #expect(outcome.errors.contains("its reader has ended"))
            run.expectNoSurvivors()
        }

        /// As `head -1` does: the reader takes the header and goes.
        @Test func readerThatGoesEndsTheRun() throws {
            var ends: [Int32] = [-1, -1]
            try #require(pipe(&ends) == 0)
            for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
            let run = try Run(
                Self.small + ["--rounds", "100000"], output: .descriptor(ends[1]))
            close(ends[1])
            var byte: UInt8 = 0
            while read(ends[0], &byte, 1) == 1, byte != UInt8(ascii: "\n") {}
            close(ends[0])
            let outcome = try run.finish()
            expectOutputFailure(outcome)
            #expect(outcome.errors.contains("its reader has ended"))
            run.expectNoSurvivors()
        }

        @Test func fullDiskEndsTheRun() throws {
            let run = try Run(Self.small, output: .file("/dev/full"))
            let outcome = try run.finish()
            expectOutputFailure(outcome)
            #expect(outcome.errors.contains("No space left on device"))
            run.expectNoSurvivors()
            expectOutputFailure(try Run(Self.small + ["-o", "/dev/full"]).finish())
            expectOutputFailure(try Run(Self.small + ["--raw", "/dev/full"]).finish())
        }

        @Test func closedStandardOutputIsAnError() throws {
            let outcome = try Run(Self.small, output: .closed).finish()
            expectOutputFailure(outcome)
        }
    }
}
