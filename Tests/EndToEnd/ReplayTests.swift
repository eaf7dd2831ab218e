import Testing
import Trace

extension EndToEnd {
    /// A recorded load in place of the driver's own.
    @Suite struct ReplayTests {
        private static func trace(_ count: UInt64) -> Trace {
            var trace = Trace()
            for number in 0..<count {
                // A byte range of each kind, far from each other in the guest that was recorded.
                let page = 1000 * (number % 7) + number % 50
                var segments = [
                    TraceSegment(address: page * 4096 + 512 * (number % 8), byteCount: 4096)
                ]
                if number % 3 == 0 {
                    segments += (0..<20).map {
                        TraceSegment(address: (1 << 24) + ($0 * 2) << 12, byteCount: 4096)
                    }
                }
                trace.append(
                    due: number * 50_000, number % 4 == 0 ? .read : .write, segments)
            }
            return trace
        }

        private func file(_ trace: Trace, in directory: TemporaryDirectory) throws -> String {
            let path = directory.file("guest.csv")
            try writeFile(path, String(decoding: trace.text, as: UTF8.self))
            return path
        }

        /// Rows of two files of one name are of two loads; those of a copy elsewhere are of one.
        @Test func aTraceIsToldByItsContent() throws {
            func label(_ count: UInt64) throws -> Substring {
                let directory = try TemporaryDirectory()
                let outcome = try run(
                    "--trace", file(Self.trace(count), in: directory), "--dry-run")
                #expect(outcome.end == .exited(0), "\(outcome.errors)")
                let text = outcome.output + outcome.errors
                let words = text.split(whereSeparator: \.isWhitespace)
                return try #require(words.first { $0.hasPrefix("guest.csv@") })
            }
            #expect(try label(10) == label(10) && label(10) != label(11))
        }

        @Test(arguments: ["4", "max"])
        func everyRequestIsReplayed(_ speed: String) throws {
            let directory = try TemporaryDirectory()
            let trace = Self.trace(300)
            let outcome = try run(
                "--trace", file(trace, in: directory), "--speed", speed, "--strategy",
                "rangetree,bounce", "--rounds", "1")
            #expect(outcome.end == .exited(0), "\(outcome.errors)")
            let rows = try Rows(csv: outcome.output).rows
            #expect(rows.count == 2)
            for row in rows {
                #expect(row["guest"] == "trace")
                #expect(row["trace"].hasPrefix("guest.csv@") && row["trace"].utf8.count == 18)
                #expect(row["speed"] == speed)
                #expect(row["size_bytes"] == "" && row["ranges"] == "" && row["chunk_bytes"] == "")
                if row.strategy == "bounce" {
                    #expect(row["status"].hasPrefix("unavailable"))
                    continue
                }
                #expect(row["status"] == "ok" && row["leaked_pins"] == "0")
                #expect(try row.count("ops") == 300 && row.count("refused") == 0)
                for (name, direction) in [("in", TraceDirection.write), ("out", .read)] {
                    let meant = trace.requests.indices.filter {
                        trace.requests[$0].direction == direction
                    }
                    let bytes = meant.reduce(0 as UInt64) { sum, index in
                        sum + trace.segments(of: index).reduce(0) { $0 + $1.byteCount }
                    }
                    #expect(try row.count("\(name)_requests") == meant.count)
                    #expect(try row.count("\(name)_bytes") == Int(bytes))
                }
                #expect(row["segments_p50"] == "1" && row["segments_max"] == "21")
                // As fast as it goes, one at a time, none has a time at which it was due.
                #expect((row["due_ns_p50"] == "") == (speed == "max") && row["pair_hot_ns"] == "")
                if row.isSafe { #expect(row["violations_stale"] == "0") }
            }
        }

        /// The last requests of a recording of a quarter of an hour, as they stand there: the turn does not wait for the
        /// first of them.
        @Test func aPartOfATraceIsOne() throws {
            let directory = try TemporaryDirectory()
            let path = directory.file("part.csv")
            let lines = String(decoding: Self.trace(1).text, as: UTF8.self).split(separator: "\n")
            let cut = (0..<5).map { "90000\($0)000000,0,write,\(10 * $0)+1" }
            try writeFile(
                path, (lines[0..<2].map(String.init) + cut).joined(separator: "\n") + "\n")
            let outcome = try run(
                "--trace", path, "--strategy", "rangetree", "--rounds", "1")
            #expect(outcome.end == .exited(0), "\(outcome.errors)")
            let row = try #require(try Rows(csv: outcome.output).rows.first)
            #expect(try row["status"] == "ok" && row.count("ops") == 5)
        }

        /// As much as the largest request needs, to the page, and no page of what the others name.
        @Test func whatACapOnPinsMustHaveIsEnough() throws {
            let directory = try TemporaryDirectory()
            let path = try file(Self.trace(100), in: directory)
            func replay(_ limit: Substring) throws -> Run.Outcome {
                try run(
                    "--trace", path, "--speed", "max", "--strategy", "rangetree,perpage,pincache",
                    "--rounds", "1", "--pin-limit", String(limit))
            }
            let refused = try replay("8K")
            #expect(refused.end == .exited(64))
            let remedy = try #require(refused.errors.split(separator: "raise it to ").last)
            let outcome = try replay(remedy.prefix { !",\n".contains($0) })
            #expect(outcome.end == .exited(0), "\(outcome.errors)")
            for row in try Rows(csv: outcome.output).rows {
                #expect(try row["status"] == "ok" && row.count("refused") == 0)
                #expect(try row.count("ops") == 100)
            }
        }

        /// Speeds are cells of a plan: a run of several goes on, and none of their rows is another's.
        @Test func severalSpeedsAreResumedAndMerged() throws {
            let directory = try TemporaryDirectory()
            let rows = directory.file("rows.csv")
            let arguments = [
                "--trace", try file(Self.trace(30), in: directory), "--speed", "8,16",
                "--strategy", "rangetree", "--rounds", "2", "-q",
            ]
            #expect(try Run(arguments + ["-o", rows]).finish().end == .exited(0))
            let whole = readFile(rows)
            let lines = whole.split(separator: "\n")
            #expect(lines.count == 5)
            try writeFile(rows, lines.prefix(4).joined(separator: "\n") + "\n")
            let outcome = try Run(arguments + ["--resume", rows]).finish()
            #expect(outcome.end == .exited(0), "\(outcome.errors)")
            let resumed = try Rows(csv: readFile(rows)).rows
            #expect(resumed.map { $0["speed"] }.sorted() == ["16", "16", "8", "8"])
            let merged = try run("merge", rows)
            #expect(merged.end == .exited(0), "\(merged.errors)")
            #expect(try Rows(csv: merged.output).rows.count == 4)
        }

        /// More requests than there are, and conversions that meet them.
        @Test func theConverterActsBesideIt() throws {
            let directory = try TemporaryDirectory()
            let outcome = try run(
                "--trace", file(Self.trace(100), in: directory), "--speed", "max", "--ops", "2000",
                "--depth", "4", "--strategy", "rangetree", "--convert-where", "inside",
                "--convert-rate", "max", "--rounds", "1")
            #expect(outcome.end == .exited(0), "\(outcome.errors)")
            let row = try #require(try Rows(csv: outcome.output).rows.first)
            #expect(try row.count("ops") == 2000)
            #expect(try row.count("conversions") + row.count("conversions_denied") > 0)
        }

        @Test(
            arguments: [
                (["--size", "64K"], "--size"), (["--ranges", "2"], "--ranges"),
                (["--devices", "2"], "--devices"), (["--dma-rate", "100"], "--dma-rate"),
                (["--depth", "2"], "--depth"), (["--speed", "0"], "--speed"),
                (["--enforce", "mmu"], "--enforce mmu"),
            ] as [([String], String)])
        func whatATraceDecidesIsRefused(_ options: [String], _ name: String) throws {
            let directory = try TemporaryDirectory()
            let path = try file(Self.trace(10), in: directory)
            let outcome = try Run(["--trace", path] + options).finish()
            #expect(outcome.end == .exited(64))
            #expect(
                outcome.errorLines.count == 1 && outcome.errors.contains(name), "\(outcome.errors)")
        }

        @Test func whatIsNoTraceIsRefusedByItsLine() throws {
            let directory = try TemporaryDirectory()
            let path = directory.file("bad")
            let text = String(decoding: Self.trace(10).text, as: UTF8.self)
            try writeFile(path, text.replacing(",write,", with: ",wrote,", maxReplacements: 1))
            let outcome = try run("--trace", path)
            #expect(outcome.end == .exited(64))
            #expect(outcome.errors.contains("line 4: direction is"), "\(outcome.errors)")
            let missing = try run("--trace", directory.file("none"))
            #expect(missing.end == .exited(64) && missing.errors.contains("No such file"))
            let speed = try run("--speed", "2")
            #expect(speed.end == .exited(64) && speed.errors.contains("--trace FILE"))
        }
    }
}
