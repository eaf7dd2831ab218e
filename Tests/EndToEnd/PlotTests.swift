import Foundation
import Glibc
import Testing

extension EndToEnd {
    /// `dma-bench plot`: what it writes, what it says, and what it leaves where it fails.
    @Suite struct PlotTests {
        /// A directory with rows of two sizes in it, and a place for pictures.
        private final class Place {
            let directory: TemporaryDirectory
            var rows: String { directory.file("rows.csv") }
            var out: String { directory.file("out/new") }
            var pictures: [String] { names(in: out) }

            init() throws {
                directory = try TemporaryDirectory()
                let rows = try run(
                    "--size", "4K,8K", "--rounds", "1", "--ops", "1", "-o",
                    directory.file("rows.csv"))
                #expect(rows.end == .exited(0))
            }

            deinit { try? FileManager.default.removeItem(atPath: directory.file("out")) }

            /// An environment with this script, and nothing else, for gnuplot.
            func gnuplot(_ script: String) throws -> [String: String] {
                let path = directory.file("gnuplot")
                try writeFile(path, "#!/bin/sh\n" + script)
                chmod(path, 0o755)
                return ["PATH": directory.path]
            }
        }

        private static let hasGnuplot = ["/usr/bin", "/usr/local/bin"].contains {
            access($0 + "/gnuplot", X_OK) == 0
        }

        @Test(.enabled(if: hasGnuplot, "gnuplot is missing; scripts/setup test installs it"))
        func whatIsWrittenIsNamed() throws {
            let place = try Place()
            let outcome = try run("plot", place.rows, "--out", place.out, "--strategy", "rangetree")
            #expect(outcome.end == .exited(0))
            let paths = outcome.output.split(separator: "\n").map(String.init)
            #expect(paths.contains(place.out + "/cost-by-size.svg"))
            #expect(paths.sorted() == place.pictures.map { place.out + "/" + $0 })
            #expect(
                outcome.errors.contains(
                    "dma-bench: omitted: cost-by-ranges: there is only one value, 1 range; give"))
        }

        @Test func withoutGnuplotThePackageIsNamed() throws {
            let place = try Place()
            let outcome = try Run(
                ["plot", place.rows, "--out", place.out],
                environment: ["PATH": place.directory.file("none")]
            ).finish()
            #expect(outcome.end == .exited(69) && outcome.output.isEmpty)
            #expect(
                outcome.errorLines.last
                    == "dma-bench: gnuplot is not installed; run: sudo apt-get install gnuplot-nox")
            #expect(place.pictures.isEmpty)
        }

        @Test func whatGnuplotSaysIsPassedOn() throws {
            let place = try Place()
            let environment = try place.gnuplot("echo 'line 7: no such terminal' >&2; exit 1\n")
            let outcome = try Run(
                ["plot", place.rows, "--out", place.out], environment: environment
            ).finish()
            #expect(outcome.end == .exited(69))
            #expect(
                outcome.errorLines.last == "dma-bench: gnuplot failed: line 7: no such terminal")
            #expect(place.pictures.isEmpty)
        }

        /// Neither gnuplot nor half a picture outlives the program.
        @Test func anInterruptionEndsGnuplotToo() throws {
            let place = try Place()
            let started = place.directory.file("started")
            let environment = try place.gnuplot(
                "echo '<svg'\n: > \(started)\nexec /bin/sleep 1000\n")
            let run = try Run(
                ["plot", place.rows, "--out", place.out], environment: environment)
            #expect(eventually { access(started, F_OK) == 0 })
            run.signal(SIGINT)
            #expect(try run.finish().end == .exited(130))
            run.expectNoSurvivors()
            #expect(place.pictures.isEmpty)
        }

        @Test func wrongInputIsUsage() throws {
            let place = try Place()
            let missing = try run("plot", "/nonexistent.csv", "--out", place.out)
            #expect(missing.end == .exited(64))
            #expect(missing.errors.contains("/nonexistent.csv: No such file or directory; name a"))
            let unknown = try run("plot", place.rows, "--out", place.out, "--strategy", "x")
            #expect(unknown.end == .exited(64))
            #expect(unknown.errors.contains("no row of strategy 'x'"))
            let header = try #require(readFile(place.rows).split(separator: "\n").first)
            let empty = place.directory.file("empty.csv")
            try writeFile(empty, header + "\n")
            let nothing = try run("plot", empty, "--out", place.out)
            #expect(nothing.end == .exited(64) && nothing.output.isEmpty)
            #expect(nothing.errors.contains("nothing to draw"))
            #expect(access(place.out, F_OK) == -1)
        }

        @Test func whatCannotBeWrittenIsAnError() throws {
            let place = try Place()
            let outcome = try run("plot", place.rows, "--out", place.rows + "/below")
            #expect(outcome.end == .exited(74))
            #expect(outcome.errors.contains("mkdir (\(place.rows)/below): Not a directory; "))
        }
    }
}
