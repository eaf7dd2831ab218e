import CTorture
import DmaLinux
import Glibc
import GuestMemory
import PinLock

/// Kills devices, and looks whether the guest can convert again.
///
///     torture twins                     broken strategies, which must be caught
///     torture steps KILLS SECONDS [STRATEGY...]
///                                       at single instructions: of each strategy KILLS at least, and all in SECONDS;
///                                       where those are 0, at random ones, without a look at all there are
///     torture table SECONDS [STRATEGY...]
///                                       at random moments, while the others read from the table what they hold
///     torture runs SECONDS PROGRAM      the whole program, at random moments
///
/// Or lets system calls of the whole program fail, one in each run, or all of a name from one on, and looks whether it
/// ends as it must.
///
///     torture calls SECONDS PROGRAM [ARGUMENT...]
///                                       all there are, or what fits into the time; each kind once where that is 0
@main enum Torture {
    static func main() {
        var arguments = CommandLine.arguments.dropFirst()
        let isDone: Bool
        let command = arguments.popFirst() ?? ""
        let words = Array(arguments)
        let numbers = words.compactMap { Int($0) }
        switch (command, words.count, numbers.count) {
        case ("twins", 0, 0): isDone = expectTwinsAreCaught()
        #if DEBUG || TWINS
            case ("twin", 1, 0):
                guard let twin = CallTwin(rawValue: words[0]) else { exit(64) }
                twin.run()
        #endif
        case ("steps", 2..., 2):
            let names = words.dropFirst(2)
            let chosen = Registry.all.filter { names.isEmpty || names.contains($0.info.name) }
            isDone = killAtInstructions(chosen, least: numbers[0], seconds: numbers[1])
        case ("table", 1..., 1):
            let names = words.dropFirst()
            let chosen = Registry.all.filter { names.isEmpty || names.contains($0.info.name) }
            isDone = stressTables(chosen, seconds: numbers[0])
        // What a device of that does.
        case ("hold", 3, 2):
            exit(hold(words[0], numbers[0], parent: Int32(numbers[1])))
        case ("runs", 2, 1):
            var runs = Runs(of: words[1])
            isDone = runs.run(until: .after(milliseconds: UInt64(numbers[0]) * 1000))
        case ("calls", 2..., 1...) where Int(words[0]) != nil:
            isDone = failCalls(of: words[1], Array(words.dropFirst(2)), seconds: Int(words[0])!)
        default:
            complain(
                """
                usage: torture twins | steps KILLS SECONDS [STRATEGY...] | table SECONDS [STRATEGY...] | \
                runs SECONDS PROGRAM | calls SECONDS PROGRAM [ARGUMENT...]
                """)
            exit(64)
        }
        exit(isDone ? 0 : 1)
    }

    private static func failCalls(
        of program: String, _ arguments: [String], seconds: Int
    ) -> Bool {
        do {
            var calls = try Calls(of: program, arguments)
            return try calls.run(seconds: seconds)
        } catch {
            complain("\(error)")
            return false
        }
    }

    // MARK: What the table says

    /// A line per strategy whose pins keep pages shared, or ought to; each has its share of the time.
    private static func stressTables(
        _ strategies: [any PinStrategy.Type], seconds: Int
    ) -> Bool {
        let chosen = strategies.filter {
            $0.info.promisesByPins && $0.unavailability(pinning: PageCount(1)) == nil
        }
        let share = UInt64(seconds) * 1_000_000_000 / UInt64(max(1, chosen.count))
        var isGood = !chosen.isEmpty
        func run<S: PinStrategy>(_: S.Type) throws {
            var stress = try TableStress(S.self)
            let (line, isSo) = try stress.run(until: .after(nanoseconds: share))
            print(line)
            fflush(nil)
            isGood = isGood && isSo
        }
        for strategy in chosen {
            do { try run(strategy) } catch {
                complain("\(strategy.info.name): \(error)")
                isGood = false
            }
        }
        return isGood
    }

    // MARK: Single instructions

    /// A line per strategy; false where one does not survive it.
    private static func killAtInstructions(
        _ strategies: [any PinStrategy.Type], least: Int, seconds: Int
    ) -> Bool {
        // A device and its tracer take turns: on one processor they do so three times as fast.
        if let processor = try? Processors.allowed().last { try? Processors.bind(to: processor) }
        let start = monotonicNanoseconds()
        let nanoseconds = UInt64(seconds) * 1_000_000_000
        var sum = Figures()
        var isGood = true
        for (number, strategy) in strategies.enumerated() {
            // What one strategy does not need is left to the others.
            let share = nanoseconds / UInt64(strategies.count) * UInt64(number + 1)
            do {
                if let reason = strategy.unavailability(pinning: PageCount(2048)) {
                    say("\(padded(strategy.info.name)) skipped: \(reason)")
                    continue
                }
                let figures = try torture(
                    strategy, least: least, surveys: seconds > 0,
                    until: Deadline(nanoseconds: start + share))
                say("\(padded(strategy.info.name)) \(figures)")
                sum += figures
                // A short campaign is a test, and does not depend on how long anything takes.
                if seconds > 0, figures.late > 0 { isGood = false }
            } catch {
                say("\(padded(strategy.info.name)) FAILED: \(error)")
                isGood = false
            }
        }
        say("\(padded("all")) \(sum)")
        return isGood
    }

    private static func torture(
        _ strategy: any PinStrategy.Type, least: Int, surveys: Bool, until deadline: Deadline
    ) throws -> Figures {
        func torture<S: PinStrategy>(_: S.Type) throws -> Figures {
            var campaigns = try Scenario.all(for: S.self, briefly: !surveys).enumerated().map {
                try Campaign(S.self, $1, seed: UInt64($0), surveys: surveys)
            }
            // In turns, so that none is left out where time is short.
            let part = surveys ? 16 : 2
            var kills = 0
            repeat {
                for index in campaigns.indices where kills < least || !deadline.hasPassed {
                    let before = campaigns[index].figures.kills
                    try campaigns[index].run(part)
                    kills += campaigns[index].figures.kills - before
                }
            } while kills < least || !deadline.hasPassed
            var sum = Figures()
            for index in campaigns.indices {
                try campaigns[index].stop()
                try campaigns[index].finish()
                sum += campaigns[index].figures
            }
            return sum
        }
        return try torture(strategy)
    }

    /// Each broken strategy is caught within so many deaths, and each broken program.
    private static func expectTwinsAreCaught() -> Bool {
        #if DEBUG || TWINS
            func isCaught<S: PinStrategy>(_: S.Type) -> Bool {
                do {
                    var campaign = try Campaign(S.self, .least, seed: 1, surveys: true)
                    try campaign.run(200)
                    say("\(S.self) was not caught in \(campaign.figures.kills) deaths")
                    return false
                } catch {
                    say("\(S.self) is caught: \(error)")
                    return true
                }
            }
            var caught = [
                isCaught(CountsFirst.self), isCaught(SkipsTheTorn.self),
                isCaught(ForgetsTheList.self),
            ]
            for twin in CallTwin.allCases {
                let isRight = twin.isCaught
                caught.append(isRight)
                say("\(twin) \(isRight ? "is" : "is NOT") judged as it should be")
            }
            return !caught.contains(false)
        #else
            complain("the twins are in debug builds only")
            return false
        #endif
    }
}

func padded(_ name: String) -> String {
    name + String(repeating: " ", count: max(0, 13 - name.count))
}

/// A line on standard output, at once.
func say(_ text: String) { put(text, on: STDOUT_FILENO) }

/// A line on standard error.
func complain(_ text: String) { put("torture: \(text)", on: STDERR_FILENO) }

private func put(_ text: String, on descriptor: Int32) {
    _ = (text + "\n").withCString { write(descriptor, $0, strlen($0)) }
}
