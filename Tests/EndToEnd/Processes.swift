import DmaLinux
import Glibc
import Testing

/// What /proc tells of the processes of a run, and of no others.
extension Run {
    /// The device processes that live now, by their numbers.
    var devices: [Int: Int32] {
        var found: [Int: Int32] = [:]
        for process in Processes.all {
            let words = Processes.arguments(of: process)
            if words.count == 5, words[1] == "device", words[3] == String(pid),
                let number = Int(words[2])
            {
                found[number] = process
            }
        }
        return found
    }

    /// Waits for the device processes; nil where the run ended before.
    func waitForDevices(_ count: Int = 1) -> [Int: Int32]? {
        var found: [Int: Int32] = [:]
        let isThere = eventually {
            found = devices
            return found.count == count || !Processes.isAlive(pid)
        }
        return isThere && found.count == count ? found : nil
    }

    /// Waits until a turn is under way: the guest's driver runs, and the device serves it.
    func waitForTurn() -> Bool {
        eventually(within: 60) { Processes.threads(of: pid).contains("vcpu-0") }
    }

    /// All processes that this run has started, directly or not, and that live now.
    var survivors: [Int32] {
        Processes.all.filter {
            readFile("/proc/\($0)/environ").split(separator: "\0").contains { $0 == mark }
        }
    }

    /// Nothing of the run is left. A process that is being torn down may take a moment to go.
    func expectNoSurvivors(sourceLocation: SourceLocation = #_sourceLocation) {
        let areGone = eventually { survivors.isEmpty }
        #expect(areGone, "still there: \(survivors)", sourceLocation: sourceLocation)
        for survivor in survivors { kill(survivor, SIGKILL) }
    }

    /// Waits until the program has put a handler in place for the signal.
    func waitUntilItCatches(_ signal: Int32) -> Bool {
        eventually {
            guard let mask = Processes.status("SigCgt", of: pid).flatMap({ UInt64($0, radix: 16) })
            else { return false }
            return mask & 1 << UInt64(signal - 1) != 0
        }
    }
}

enum Processes {
    static var all: [Int32] { names(in: "/proc").compactMap { Int32($0) } }

    static func arguments(of process: Int32) -> [Substring] {
        readFile("/proc/\(process)/cmdline").split(
            separator: "\0", omittingEmptySubsequences: false
        ).dropLast()
    }

    /// A line of /proc/PID/status, without its unit.
    static func status(_ name: String, of process: Int32) -> Substring? {
        for line in readFile("/proc/\(process)/status").split(separator: "\n")
        where line.hasPrefix(name + ":") {
            return line.dropFirst(name.count + 1).split(whereSeparator: \.isWhitespace).first
        }
        return nil
    }

    /// False for what has ended, reaped or not.
    static func isAlive(_ process: Int32) -> Bool {
        guard let state = status("State", of: process) else { return false }
        return state != "Z" && state != "X"
    }

    /// The names of its threads.
    static func threads(of process: Int32) -> [Substring] {
        names(in: "/proc/\(process)/task").map {
            readFile("/proc/\(process)/task/\($0)/comm").dropLast()
        }
    }

    static func descriptorCount(of process: Int32) -> Int {
        names(in: "/proc/\(process)/fd").count
    }
}
