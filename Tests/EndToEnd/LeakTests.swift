import DmaLinux
import Testing

extension EndToEnd {
    /// A run takes nothing with each turn that it does not give back.
    @Suite struct LeakTests {
        @Test func nothingIsLeftOfARun() throws {
            let directory = try TemporaryDirectory()
            let before = names(in: "/dev/shm")
            let run = try Run([
                "--size", "4M", "--strategy", "none,longlived", "--devices", "2", "--lanes", "2",
                "--rounds", "1", "--ops", "20", "-o", directory.file("rows.csv"),
            ])
            #expect(try run.finish().end == .exited(0))
            run.expectNoSurvivors()
            #expect(names(in: "/dev/shm") == before)
            #expect(directory.names == ["rows.csv", "rows.csv.env.json"])
        }

        /// Descriptors and threads of every process, at their most in the first turns and in the last.
        @Test func turnsDoNotAccumulate() throws {
            let turns = 12
            let run = try Run([
                "--size", "4M", "--strategy", "none,rangetree,longlived", "--notify", "eventfd",
                "--lanes", "2", "--rounds", "\(turns / 3)", "--ops", "1",
            ])
            var device: Int32?
            var peaks: [[Int]] = []
            while Processes.isAlive(run.pid) {
                device = device ?? run.devices[0]
                sleep(until: .after(milliseconds: 2))
                guard let device else { continue }
                func look() -> [Int] {
                    [run.pid, device].flatMap {
                        [Processes.descriptorCount(of: $0), Processes.threads(of: $0).count]
                    }
                }
                // A thread's counters are read from a file, open for an instant: what is kept is there twice.
                let now = zip(look(), look()).map(min)
                let turn = run.rowCount
                while peaks.count <= turn { peaks.append([0, 0, 0, 0]) }
                peaks[turn] = zip(peaks[turn], now).map(max)
            }
            #expect(try run.finish().end == .exited(0))
            try #require(peaks.count >= turns)
            func most(_ turns: Range<Int>, _ what: Int) -> Int {
                peaks[turns].map { $0[what] }.max()!
            }
            for (what, name) in [
                "harness descriptors", "harness threads", "device descriptors", "device threads",
            ].enumerated() {
                let (early, late) = (most(1..<turns / 2, what), most(turns / 2..<turns, what))
                // What is open for an instant may have been seen in one half alone; one that stays for each turn would be
                // as many as half of the turns.
                #expect(late < early + turns / 4, "\(name): \(early) at most, then \(late)")
            }
        }
    }
}
