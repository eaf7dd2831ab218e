import DmaReport
import Foundation
import Testing

@testable import Analysis

/// What is said of two machines, and what is not.
@Suite struct MachinesTests {
    /// So many runs of a machine, of one round each; pins take `pins` nanoseconds, by strategy.
    private static func rows(_ env: String, runs: Int, _ pins: [(String, Double)]) -> [Row] {
        (0..<runs).flatMap { run in
            pins.map { name, pin in
                Row.measured(
                    name, run: "\(env)-\(run)", pin: pin * (1 + 0.002 * Double(run % 3)), env: env
                ).with { $0.deviceCpu = [env == "a" ? 1 : 7] }
            }
        }
    }

    private static func sources(_ files: [[Row]], environment: String? = nil) throws
        -> [ReportSource]
    {
        let directory = NSTemporaryDirectory() + "machines-\(UUID().uuidString)"
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        return try files.enumerated().map { index, rows in
            let path = "\(directory)/\(index).csv"
            let text = Format.csv.header + rows.map { Format.csv.line($0) }.joined()
            try text.write(toFile: path, atomically: false, encoding: .utf8)
            try environment?.write(toFile: path + ".env.json", atomically: false, encoding: .utf8)
            return try .read(path)
        }
    }

    private static func sentences(_ files: [[Row]]) throws -> [String] {
        let machines = MachineRows.all(try sources(files))
        return MachineSentences(
            machines, MachineComparison(machines, of: .inPlace)
        ).all
    }

    private static let first = rows(
        "a", runs: 4, [("perpage", 1.5e6), ("rangetree", 3000), ("rpc", 4e6)])

    @Test func whatHoldsOnBothIsSaid() throws {
        let second = Self.rows("b", runs: 5, [("perpage", 3e6), ("rangetree", 4000), ("rpc", 5e6)])
        let said = try Self.sentences([Self.first, second])
        #expect(
            said[0]
                == "perpage at 1 GiB: the share of the DMA that locking takes is 9.1 % on A (a), 17 % on B (b)."
        )
        #expect(
            said[1]
                == "On both machines less than that, and by what factor: rangetree (455 x on A, 625 x on B)."
        )
        #expect(
            said[2]
                == "On both machines more than that, and by what factor: rpc (2.3 x on A, 1.5 x on B)."
        )
        #expect(said[3].hasPrefix("A: Checking") && said[4].hasPrefix("B: Checking"))
    }

    /// The same strategy, cheaper here and dearer there; and one that differs here alone.
    @Test func whereItDoesNotHoldIsSaid() throws {
        let second = Self.rows(
            "b", runs: 4, [("perpage", 3000), ("rangetree", 3e6), ("rpc", 3000)])
        let said = try Self.sentences([Self.first, second])
        #expect(!said.joined().contains("On both machines"))
        let unlike = try #require(said.first { $0.hasPrefix("Not the same on both machines") })
        #expect(unlike.contains("rangetree (less, 455 x on A, more,"))
        #expect(unlike.contains("rpc (more, 2.3 x on A, no difference shown on B)"))
    }

    /// Rounds of one run are not runs, however many.
    @Test func threeRunsOfOneSayNothingOfBoth() throws {
        let few = Self.rows("b", runs: 3, [("perpage", 3e6), ("rangetree", 4000), ("rpc", 5e6)])
        let manyRounds = (1...20).flatMap { round in
            [
                Row.measured("perpage", round: round, pin: 3e6, env: "b"),
                Row.measured("rangetree", round: round, pin: 4000, env: "b"),
            ]
        }
        for (second, count) in [(few, "3 runs"), (manyRounds, "one run")] {
            let said = try Self.sentences([Self.first, second])
            #expect(
                said[0].hasPrefix(
                    "No sentence says anything of all machines: that needs 4 runs of each"))
            #expect(said[0].hasSuffix("A has 4 runs, B has \(count)."))
            #expect(!said.joined().contains("both machines") && !said.joined().contains("on B"))
        }
    }

    @Test func aTraceOfOneMachineIsNotComparedWithAnothersRequests() throws {
        func replayed(_ rows: [Row]) -> [Row] {
            rows.map {
                $0.with {
                    ($0.guest, $0.trace, $0.speed) = ("trace", "t.csv", "1")
                    ($0.sizeBytes, $0.chunkBytes, $0.ranges, $0.misalignBytes) = (
                        nil, nil, nil, nil
                    )
                }
            }
        }
        let second = Self.rows("b", runs: 4, [("perpage", 3e6), ("rangetree", 4000)])
        let mixed = try Self.sentences([replayed(Self.first), second])
        #expect(mixed[0].hasPrefix("No combination of the plan"))
        let same = try Self.sentences([replayed(Self.first), replayed(second)])
        #expect(same[0].hasPrefix("perpage with requests of any size: the share of the DMA"))
    }

    @Test func withoutACommonCellNothingIsSaid() throws {
        let other = Self.rows("b", runs: 4, [("perpage", 3e6), ("rangetree", 4000)])
            .map { $0.with { ($0.sizeBytes, $0.chunkBytes) = (4096, 4096) } }
        #expect(try Self.sentences([Self.first, other])[0].hasPrefix("No combination of the plan"))
    }

    /// A figure of one machine is its own, however the other's differ.
    @Test func ratiosAreWithinOneMachine() throws {
        func factors(_ second: [Row]) throws -> [Double?] {
            let machines = MachineRows.all(try Self.sources([Self.first, second]))
            let comparison = try #require(
                MachineComparison(machines, of: .inPlace))
            return comparison.lines.map { $0.values[0]?.factor }
        }
        let pins = [("perpage", 3e6), ("rangetree", 4000.0), ("rpc", 5e6)]
        let slower = pins.map { ($0.0, $0.1 * 100) }
        #expect(
            try factors(Self.rows("b", runs: 4, pins)) == factors(Self.rows("b", runs: 4, slower)))
    }

    /// Of a size that the baseline has not: "1" would say that it costs the same.
    @Test func onlyTheBaselineIsOnce() throws {
        func at(_ rows: [Row]) -> [Row] {
            rows
                + rows.filter { $0.strategy == "rangetree" }
                .map { $0.with { ($0.sizeBytes, $0.chunkBytes) = (4096, 4096) } }
        }
        let second = at(Self.rows("b", runs: 4, [("perpage", 3e6), ("rangetree", 4000)]))
        let machines = MachineRows.all(try Self.sources([at(Self.first), second]))
        let comparison = try #require(
            MachineComparison(machines, of: .inPlace))
        let lines = MachineTable(machines, comparison).factors.lines(width: 72)
            .map { $0.split(separator: " ").map(String.init) }
        #expect(lines.first { $0[0] == "perpage" }?.suffix(2) == ["1", "1"])
        #expect(lines.last == ["rangetree", "4", "KiB", "n/a", "n/a"])
    }

    /// Without a write there is no share of it; and what the others are compared with may be another one.
    @Test func cellsOfOneComparisonAloneAreInTheTable() throws {
        func changed(_ rows: [Row]) -> [Row] {
            rows.map { row in
                row.with {
                    if row.strategy == "perpage" { ($0.syncShare, $0.policy) = (nil, "wait") }
                }
            }
        }
        let second = Self.rows("b", runs: 4, [("perpage", 3e6), ("rangetree", 4000), ("rpc", 5e6)])
        let report = MachinesReport(
            try Self.sources([changed(Self.first), changed(second)]), generator: "test")
        let text = try WellFormed(report.html).text
        #expect(
            text.contains(
                "how many times as much rangetree (sync share) or perpage (hot pair) takes"))
        let row = try #require(
            report.html.split(separator: "\n").first { $0.contains(">perpage</th>") })
        #expect(row.contains("<td>wait</td><td>n/a</td><td>n/a</td>") && row.contains(">40 ns<"))
    }

    @Test func thePageIsWellFormedAndTheTextFits() throws {
        let second = Self.rows("<b>&", runs: 4, [("perpage", 3e6), ("range|tree", 4000)])
        let sources = try Self.sources(
            [Self.first, second],
            environment:
                "{\"env\":\"a\",\"stable\":{\"cpu\":{\"model_name\":\"<x>\\u001b \(String(repeating: "long ", count: 40))\"}}}"
        )
        let report = MachinesReport(sources, generator: "dma-bench <test>")
        _ = try WellFormed(report.html)
        #expect(report.html.contains("&lt;b&gt;&amp;") && !report.html.contains("<b>"))
        let text = report.text { _ in [["dma-bench", "--trace", "a  b.csv"]] }
        #expect(text.contains("  dma-bench --trace 'a  b.csv'\n"))
        #expect(text.split(separator: "\n").allSatisfy { $0.count <= 72 })
        #expect(!text.contains("\t") && !text.contains("\u{1B}"))
    }

    /// In the words that a page of one machine has for them.
    @Test func brokenClaimsAndEndingsAreNamedWithTheirMachine() throws {
        let bad = [
            Row.measured("rangetree", env: "b").with {
                ($0.violationsStale, $0.status) = (3, .violation)
            },
            Row.planned("kernelpin", status: .failed("x"), env: "b"),
        ]
        let warnings = MachineWarnings.all(
            MachineRows.all(try Self.sources([Self.first, bad])))
        let alone = Warnings(bad, lines: SummaryCell.cells(of: bad).map(Line.init)).all
        let expected = [
            "rangetree claims safety and broke it, in 1 row. This is a bug.",
            "kernelpin: failed:x (1 row).",
        ]
        #expect(expected.allSatisfy(alone.contains))
        #expect(warnings.first == "B: \(expected[0])" && warnings.contains("B: \(expected[1])"))
        #expect(!warnings.contains { $0.hasPrefix("A: rangetree") })
    }

    /// One line a machine, and none where there is one size only.
    @Test func picturesHaveALineAMachine() throws {
        let sizes: [UInt64] = [1 << 20, 1 << 30]
        func at(_ rows: [Row]) -> [Row] {
            sizes.flatMap { size in
                rows.map { $0.with { ($0.sizeBytes, $0.chunkBytes) = (size, size) } }
            }
        }
        let second = Self.rows("b", runs: 4, [("perpage", 3e6), ("rangetree", 4000)])
        func figures(_ files: [[Row]]) throws -> MachineFigures {
            let machines = MachineRows.all(try Self.sources(files))
            return MachineFigures(
                machines, MachineComparison(machines, of: .inPlace),
                sources: ["x"])
        }
        let drawn = try figures([at(Self.first), at(second)]).drawn
        #expect(drawn.map(\.name) == ["machines-size-perpage", "machines-size-rangetree"])
        #expect(
            drawn.allSatisfy {
                $0.series.count == 2 && $0.series.allSatisfy { $0.points.count == 2 }
            })
        let one = try figures([Self.first, second])
        #expect(one.drawn.isEmpty && one.omitted.count == 2)
    }

    @Test func ofAMachineIsReadWhatIsThere() {
        let text = """
            [{"env":"1","stable":{"cpu":{"model_name":"X","vendor":"n/a","family":"6","count":16},
            "kernel":{"release":"6.1"}},"volatile":{"memory_kib":{"MemTotal":2097152}}}, 5, {"env":"2"}]
            """
        let machines = Machine.all(in: text)
        #expect(machines.map(\.env) == ["1"])
        #expect(
            machines[0].processor == "X (6), 16 processors" && machines[0].kernel == "Linux 6.1")
        #expect(machines[0].memory == "2.00 GiB" && machines[0].build == nil)
        #expect(Machine.all(in: "{").isEmpty && Machine.all(in: "{}").isEmpty)
    }
}
