import DmaLinux
import Glibc
import Testing

extension EndToEnd {
    /// The tasks of contrib/, without an engine: `make slurm-test` has one.
    @Suite struct ContribTests {
        private static let root =
            "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        private static let options = [
            "--size", "64K,128K", "--strategy", "perpage,none", "--rounds", "2", "--ops", "5",
        ]

        private static func script(_ name: String, _ arguments: [String]) throws -> Tool.Outcome {
            try Tool.run(
                ["env", "DMA_BENCH=\(Run.program)", "\(root)/contrib/\(name)"] + arguments,
                input: []
            ) { false }
        }

        /// A task whose file ends in the middle of a row goes on with it; the rows are those of one run.
        @Test func tasksAreResumedAndMerged() throws {
            let directory = try TemporaryDirectory()
            for index in ["1", "2"] {
                let task = try Self.script("task", [index, "2", directory.path] + Self.options)
                #expect(task.end == .exited(0), "\(String(decoding: task.errors, as: UTF8.self))")
            }
            let cut = directory.file("task-2-of-2.csv")
            let whole = readFile(cut)
            try writeFile(cut, String(whole.prefix(whole.count * 2 / 3)))
            let unmerged = try Self.script("merge", [directory.path])
            #expect(unmerged.end != .exited(0))
            let again = try Self.script("task", ["2", "2", directory.path] + Self.options)
            #expect(again.end == .exited(0))
            #expect(String(decoding: again.errors, as: UTF8.self).contains("--resume \(cut)"))
            let merged = try Self.script("merge", [directory.path])
            #expect(merged.end == .exited(0), "\(String(decoding: merged.errors, as: UTF8.self))")
            let unsharded = try Run(Self.options).finish()
            #expect(
                try Self.cells(readFile(directory.file("merged.csv")))
                    == Self.cells(unsharded.output))
        }

        private static func cells(_ csv: String) throws -> [String] {
            try Rows(csv: csv).rows.map { row in
                ["round", "strategy", "size_bytes", "ops", "status", "plan", "env"].map { row[$0] }
                    .joined(separator: " ")
            }.sorted()
        }

        /// A shard that has not been run is no part of a whole.
        @Test func whatIsMissingIsSaid() throws {
            let directory = try TemporaryDirectory()
            #expect(try Self.script("merge", [directory.path]).end == .exited(64))
            _ = try Self.script("task", ["2", "2", directory.path] + Self.options)
            let merged = try Self.script("merge", [directory.path])
            #expect(merged.end == .exited(64))
            let said = String(decoding: merged.errors, as: UTF8.self)
            #expect(said.contains("task-1-of-2.csv is missing"))
            #expect(directory.names == ["task-2-of-2.csv", "task-2-of-2.csv.env.json"])
            for wrong in [["0", "2", "x"], ["1", "two", "x"], ["1"]] {
                #expect(try Self.script("task", wrong).end == .exited(64), "\(wrong)")
            }
        }

        /// Machines stay apart.
        @Test func machinesAreNotMerged() throws {
            let directory = try TemporaryDirectory()
            for index in ["1", "2"] {
                _ = try Self.script("task", [index, "0", directory.path] + Self.options)
            }
            let merged = try Self.script("merge", [directory.path])
            #expect(merged.end == .exited(0))
            #expect(String(decoding: merged.output, as: UTF8.self).hasPrefix("dma-bench report "))
            #expect(!directory.names.contains("merged.csv"))
        }
    }
}
