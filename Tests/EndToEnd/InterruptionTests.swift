import DmaLinux
import Glibc
import Testing

extension EndToEnd {
    /// Ctrl-C and its relatives: what has been measured is kept.
    @Suite struct InterruptionTests {
        private static let long = [
            "--size", "16M", "--strategy", "none,rangetree", "--rounds", "100000",
        ]

        @Test(arguments: [SIGINT, SIGTERM, SIGHUP])
        func keepsTheRowsSoFar(_ signal: Int32) throws {
            let run = try Run(Self.long)
            #expect(eventually(within: 60) { run.rowCount >= 1 })
            run.signal(signal)
            let outcome = try run.finish()
            #expect(outcome.end == .exited(130))
            let rows = try Rows(csv: outcome.output).rows
            #expect(!rows.isEmpty)
            #expect(
                outcome.errors
                    == "dma-bench: interrupted; rows written so far: \(rows.count)\n")
            for row in rows.dropLast() { expectGood(row) }
            let last = try #require(rows.last)
            #expect(["ok", "interrupted"].contains(last["status"]))
            #expect(last["leaked_pins"] == "0")
            run.expectNoSurvivors()
        }

        @Test func leavesAFileOfWholeRows() throws {
            let directory = try TemporaryDirectory()
            let file = directory.file("rows.csv")
            let run = try Run(Self.long + ["-o", file])
            #expect(eventually(within: 60) { readFile(file).count { $0 == "\n" } > 1 })
            run.signal(SIGINT)
            #expect(try run.finish().end == .exited(130))
            #expect(try Rows(csv: readFile(file)).rows.count >= 1)
            #expect(directory.names == ["rows.csv", "rows.csv.env.json"])
        }

        /// At any moment of the start: before the header, while memory is touched, before the first turn.
        @Test(arguments: [0, 10, 30, 60, 100, 150] as [UInt64])
        func beforeTheFirstRowIsNoError(milliseconds: UInt64) throws {
            let run = try Run(Self.long)
            #expect(run.waitUntilItCatches(SIGINT))
            sleep(until: .after(milliseconds: milliseconds))
            run.signal(SIGINT)
            let outcome = try run.finish()
            #expect(outcome.end == .exited(130))
            #expect(
                outcome.errorLines.count == 1
                    && outcome.errors.hasPrefix("dma-bench: interrupted"), "\(outcome.errors)")
            _ = try Rows(csv: outcome.output.isEmpty ? "empty\n" : outcome.output)
            run.expectNoSurvivors()
        }

        /// Where the first one does not help, since a device is stuck, the second one does.
        @Test func theSecondOneEndsAtOnce() throws {
            let run = try Run(Self.long)
            let device = try #require(run.waitForDevices()?[0])
            #expect(eventually(within: 60) { run.rowCount >= 1 } && run.waitForTurn())
            kill(device, SIGSTOP)
            run.signal(SIGINT)
            sleep(until: .after(milliseconds: 300))
            run.signal(SIGINT)
            let outcome = try run.finish(within: 20)
            #expect(outcome.end == .exited(130))
            #expect(try Rows(csv: outcome.output).rows.count >= 1)
            run.expectNoSurvivors()
        }
    }
}
