import Glibc
import Testing

extension EndToEnd {
    /// Standard streams that are closed or full.
    @Suite struct StreamTests {
        private static let commands = [
            ["--help"], ["--version"], ["help", "schema"], ["strategies"], ["env"],
            ["schema"], ["schema", "--csv"], ["--dry-run"],
            ["--generate-completion-script", "bash"],
            ["--size", "4M", "--rounds", "1", "--ops", "1", "--no-write"],
        ]

        @Test(arguments: commands, [Run.Output.closed, .file("/dev/full")])
        func outputThatCannotBeWrittenIsAnError(_ arguments: [String], _ output: Run.Output) throws
        {
            let outcome = try Run(arguments, output: output).finish()
            #expect(outcome.end == .exited(74))
            #expect(
                outcome.errorLines.count == 1
                    && outcome.errors.hasPrefix("dma-bench: write (standard output): "),
                "\(outcome.errors)")
        }

        private static let closing = ["bash", "-c", #"exec "$@" <&- 2>&-"#, "bash"]

        @Test func theStatusNeedsNoStandardError() throws {
            let outcome = try Run(["--size", "3K"], through: Self.closing).finish()
            #expect(outcome.end == .exited(64) && outcome.output == "" && outcome.errors == "")
        }

        /// Else the next file opened has the stream's number: the locks themselves, with an error message in them.
        @Test func noFileTakesTheNumberOfAClosedStream() throws {
            let directory = try TemporaryDirectory()
            let run = try Run(
                ["--size", "4M", "--rounds", "100000", "-o", directory.file("rows.csv")],
                output: .closed, through: Self.closing)
            let device = try #require(run.waitForDevices()?[0])
            #expect(run.waitForTurn())
            for process in [run.pid, device] {
                for stream in 0...2 {
                    #expect(readLink("/proc/\(process)/fd/\(stream)") == "/dev/null")
                }
            }
            run.signal(SIGINT)
            #expect(try run.finish().end == .exited(130))
        }
    }
}
