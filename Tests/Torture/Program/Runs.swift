import DmaLinux
import DmaStatistics
import Glibc
import GuestMemory
import PinLock

/// The whole program, over and over: devices are killed at random moments, or stopped, or the harness is killed.
struct Runs {
    private let program: String
    private var random = SplitMix64(seed: monotonicNanoseconds())
    private var deaths: [String: Int] = [:]
    /// Those in a turn, after which the pins were counted that are left.
    private var counted = 0
    /// From a device's death to the end of its run, at most.
    private var slowestEnd: [String: UInt64] = [:]
    private var harnessDeaths = 0
    private var stops = 0

    /// How long anything may take that should come to an end.
    private static let patience: UInt64 = 60

    init(of program: String) { self.program = program }

    /// False where a run does not end as it must.
    mutating func run(until deadline: Deadline) -> Bool {
        let strategies = Registry.all.filter { $0.unavailability(pinning: PageCount(2048)) == nil }
        var turn = 0
        repeat {
            let strategy = strategies[turn % strategies.count]
            let round = turn / strategies.count
            do {
                switch round % 8 {
                case 3: try killHarness(strategy)
                case 7: try stopDevice(strategy)
                default: try killDevice(strategy)
                }
            } catch {
                say("\(strategy.info.name) FAILED: \(error)")
                return false
            }
            turn += 1
        } while !deadline.hasPassed
        for strategy in strategies {
            let name = strategy.info.name
            let milliseconds = slowestEnd[name, default: 0] / 1_000_000
            say(
                "\(padded(name)) \(deaths[name, default: 0]) devices killed, their runs ended within "
                    + "\(milliseconds) ms")
        }
        say(
            """
            \(padded("all")) \(deaths.values.reduce(0, +)) devices killed, \(counted) of them in a turn, with 0 pins \
            left; \(stops) stopped; \(harnessDeaths) harnesses killed; no process left
            """)
        return true
    }

    /// A run for ever, with two devices at work.
    private mutating func start(
        _ strategy: any PinStrategy.Type, policy: ConflictPolicy.Kind
    ) throws -> (ProgramRun, [Int: pid_t]) {
        var arguments = [
            "--size", "4M", "--strategy", strategy.info.name, "--devices", "2", "--rounds",
            "100000",
            "--seconds", "0.2", "--policy", policy.rawValue, "--chunk", "64K",
        ]
        // An unsafe one would be caught, which ends a run in another way.
        if strategy.info.isSafe, strategy.info.promisesByPins, !strategy.info.needsPool {
            arguments += ["--convert-where", "inside"]
        }
        let run = try ProgramRun(program, arguments)
        var devices: [Int: pid_t] = [:]
        let areThere = eventually(within: Self.patience) {
            devices = run.devices
            return devices.count == 2 || run.hasEnded
        }
        guard areThere, devices.count == 2 else { throw failure(run, "has no two devices") }
        sleep(until: .after(nanoseconds: UInt64.random(in: 0..<600_000_000, using: &random)))
        return (run, devices)
    }

    private func failure(_ run: ProgramRun, _ what: String) -> Complaint {
        Complaint(
            description:
                "\(what); status \(run.exitStatus.map(String.init) ?? "none"), it says: \(run.errors)"
        )
    }

    private mutating func killDevice(_ strategy: any PinStrategy.Type) throws {
        let policy = strategy.info.policies.randomElement(using: &random)!
        let (run, devices) = try start(strategy, policy: policy)
        let number = Int.random(in: 0..<2, using: &random)
        kill(devices[number]!, SIGKILL)
        let death = monotonicNanoseconds()
        try expectEnd(of: run, with: 70)
        let name = strategy.info.name
        slowestEnd[name] = max(slowestEnd[name, default: 0], monotonicNanoseconds() - death)
        let says = run.errors
        guard says.contains("device \(number) (pid "), says.contains("signal 9") else {
            throw failure(run, "does not say that device \(number) was killed")
        }
        // In a turn its pins are counted once they have been recovered.
        if says.contains("leaked_pins is ") {
            guard says.contains("leaked_pins is 0") else { throw failure(run, "leaks pins") }
            counted += 1
        }
        deaths[name, default: 0] += 1
    }

    /// Half of them while they recover a device.
    private mutating func killHarness(_ strategy: any PinStrategy.Type) throws {
        let (run, devices) = try start(strategy, policy: .deny)
        if Bool.random(using: &random) {
            kill(devices[0]!, SIGKILL)
            sleep(until: .after(nanoseconds: UInt64.random(in: 0..<3_000_000, using: &random)))
        }
        kill(run.pid, SIGKILL)
        // It may have come to the end that the device's death is to it.
        try expectEnd(of: run, with: 128 + SIGKILL, 70)
        if run.exitStatus != 70 { harnessDeaths += 1 }
    }

    /// Conversions wait for it in vain, and the run goes on with it afterwards.
    private mutating func stopDevice(_ strategy: any PinStrategy.Type) throws {
        let (run, devices) = try start(strategy, policy: .wait)
        kill(devices[0]!, SIGSTOP)
        sleep(until: .after(milliseconds: UInt64.random(in: 1200..<2500, using: &random)))
        guard !run.hasEnded else { throw failure(run, "has not waited for a stopped device") }
        kill(devices[0]!, SIGCONT)
        sleep(until: .after(milliseconds: 300))
        kill(run.pid, SIGINT)
        try expectEnd(of: run, with: 130)
        stops += 1
    }

    /// The end, and nothing left: what a process had, memory, threads, locks, goes with it.
    private func expectEnd(of run: ProgramRun, with statuses: Int32...) throws {
        guard eventually(within: Self.patience, { run.hasEnded }) else {
            throw failure(run, "does not end")
        }
        guard let status = run.exitStatus, statuses.contains(status) else {
            throw failure(run, "does not end with \(statuses[0])")
        }
        guard eventually(within: Self.patience, { run.survivors.isEmpty }) else {
            throw failure(run, "leaves processes: \(run.survivors)")
        }
    }
}
