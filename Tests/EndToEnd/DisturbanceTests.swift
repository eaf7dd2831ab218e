import DmaLinux
import Foundation
import Glibc
import Synchronization
import Testing

extension EndToEnd {
    /// Whoever disturbs a run is named in each row that it touches.
    @Suite struct DisturbanceTests {
        private static let processors = (try? Processors.allowed()) ?? []
        private static var hasTwoProcessors: Bool { processors.count > 1 }

        /// A run whose device has the second processor.
        private func run(seconds: String = "0.4", rounds: String = "2") throws -> Run {
            try Run([
                "--size", "4M", "--strategy", "rangetree", "--rounds", rounds, "--seconds", seconds,
                "--device-cpu", "\(Self.processors[1])", "--vcpu-cpu", "\(Self.processors[0])",
                "--quiet",
            ])
        }

        private func rows(of run: Run) throws -> [ResultRow] {
            let outcome = try run.finish()
            #expect(outcome.end == .exited(0), "\(outcome.errors)")
            return try Rows(csv: outcome.output).rows
        }

        private func words(_ row: ResultRow) -> [Substring] {
            row["noisy"].split(separator: ";")
        }

        /// Somebody else computes on the device's processor: the scheduler gives each of them half.
        @Test(.enabled(if: hasTwoProcessors, "one processor: everybody shares it anyway"))
        func aBusyLoopOnTheDevicesProcessor() throws {
            let isOver = Atomic(false)
            let processor = Self.processors[1]
            let loop = JoinableThread(
                try WorkerThread(name: "busy") {
                    try? Processors.bind(to: processor)
                    while !isOver.load(ordering: .relaxed) {}
                })
            defer {
                isOver.store(true, ordering: .relaxed)
                loop.join()
            }
            let rows = try rows(of: run())
            #expect(rows.count == 2)
            for row in rows {
                #expect(words(row).contains("waiting"), "\(row["noisy"])")
                #expect(try row.number("device_wait_share") > 0.2)
                #expect(try row.count("device_preempted") > 0)
            }
        }

        /// The device is sent to another processor in the midst of its turn.
        @Test(.enabled(if: hasTwoProcessors, "one processor: there is nowhere to go"))
        func aDeviceThatIsMoved() throws {
            let run = try run(seconds: "2", rounds: "1")
            let device = try #require(run.waitForDevices()?[0])
            #expect(run.waitForTurn())
            sleep(until: .after(milliseconds: 500))
            let other = Self.processors[0]
            // util-linux, which every Debian has.
            let taskset = try Process.run(
                URL(fileURLWithPath: "/usr/bin/taskset"),
                arguments: ["-a", "-p", "-c", "\(other)", "\(device)"])
            taskset.waitUntilExit()
            #expect(taskset.terminationStatus == 0)
            let row = try #require(try rows(of: run).first)
            #expect(words(row).contains("moved"), "\(row["noisy"])")
            #expect(row["device_cpu"] == "\(Self.processors[1])")
            #expect(row["ran_cpu"].hasPrefix("\(other);"))
        }

        /// A quota of the control group: two tenths of one processor for harness and device together. So much they use
        /// up also where others are at work.
        @Test(.enabled(if: CPUQuota.isAvailable, "no control group of this machine's can be made"))
        func aQuota() throws {
            let quota = try CPUQuota(microseconds: 20_000, of: 100_000)
            let run = try run(rounds: "3")
            try quota.take(run.pid)
            let rows = try rows(of: run)
            // The first turn may have begun before.
            for row in rows.dropFirst() {
                #expect(words(row).contains("throttled"), "\(row["noisy"])")
                #expect(try row.number("throttled_ns") > 0)
            }
        }

        /// Where nobody does anything of the kind, nothing of the kind is said.
        @Test func whatDidNotHappenIsNotSaid() throws {
            for row in try rows(of: run()) where Self.hasTwoProcessors {
                #expect(
                    Set(words(row)).isDisjoint(with: [
                        "moved", "stopped", "oversubscribed", "samples",
                    ]))
                #expect(row["stops"] == "0" && row["notify"] == "poll")
                #expect(row["ran_cpu"] == "\(Self.processors[1]);\(Self.processors[0])")
            }
        }

        /// More devices than processors: whoever reads the guest's columns is told.
        @Test func tooManyDevices() throws {
            let devices = Self.processors.count + 1
            let outcome = try Run([
                "--size", "4K", "--strategy", "rangetree", "--rounds", "1", "--devices",
                "\(devices)",
                "--ops", "50", "--quiet",
            ]).finish()
            let row = try #require(try Rows(csv: outcome.output).rows.first)
            #expect(words(row).contains("oversubscribed"), "\(row["noisy"])")
            #expect(row["notify"] != "poll" && row["ops"] == "50")
        }
    }
}

/// A control group with a CPU quota, for processes of a test; gone with its owner.
private final class CPUQuota {
    private static let roots = ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup"]
    private let path: String

    static var isAvailable: Bool {
        guard let quota = try? CPUQuota(microseconds: 100_000, of: 100_000) else { return false }
        return FileManager.default.fileExists(atPath: quota.path)
    }

    /// By the first version of control groups or the second, whichever the machine has.
    init(microseconds: Int, of period: Int) throws {
        for root in Self.roots {
            let path = "\(root)/dma-bench-test-\(getpid())-\(UInt32.random(in: 0 ... .max))"
            guard mkdir(path, 0o755) == 0 else { continue }
            let files =
                root.hasSuffix("/cpu")
                ? [("cpu.cfs_period_us", "\(period)"), ("cpu.cfs_quota_us", "\(microseconds)")]
                : [("cpu.max", "\(microseconds) \(period)")]
            if files.allSatisfy({ Self.write($0.1, to: "\(path)/\($0.0)") }) {
                self.path = path
                return
            }
            rmdir(path)
        }
        throw POSIXError(.ENOSYS)
    }

    /// Takes a process in, and with it all that it starts from now on.
    func take(_ pid: Int32) throws {
        #expect(Self.write("\(pid)", to: path + "/cgroup.procs"))
    }

    private static func write(_ text: String, to path: String) -> Bool {
        let file = open(path, O_WRONLY)
        guard file >= 0 else { return false }
        defer { close(file) }
        return Glibc.write(file, text, text.utf8.count) == text.utf8.count
    }

    deinit {
        // A group goes once the last of its processes has.
        for _ in 0..<100 where rmdir(path) != 0 { usleep(20_000) }
    }
}
