import DmaLinux
import Telemetry

/// A virtual processor: a thread that runs its guest's programs in turn, and sees what is taken from it.
///
/// What stands between two programs is one step of each other one. So a conversion that is due starts within a
/// microsecond, whatever the drivers do, as long as the vCPU has a processor of its own and polls.
public final class VCPU {
    /// What it does where no program has anything to do.
    public enum Idling: Sendable {
        /// It looks again at once: it has a processor of its own.
        case poll
        /// It sleeps until a device calls, through the closure, or until that time of CLOCK_MONOTONIC.
        case sleep(@Sendable (Deadline) -> Void)
    }

    private var programs: [any GuestProgram]
    private let clock: TickClock
    private let control: TurnControl
    private let idling: Idling
    private var watch: InterferenceWatch
    /// The longest step of work that takes as long as it takes, in ticks: so long may a conversion that is due wait.
    private var longestStep: UInt64 = 0

    /// A program that becomes due sooner than this is polled for: a sleep ends some tens of microseconds late.
    private static let sleepMargin: UInt64 = 100_000
    private static let longestSleep: UInt64 = 20_000_000
    /// A probe of the core takes some 4 us: nothing is due before that.
    private static let probeMargin: UInt64 = 10_000

    public init(
        _ programs: [any GuestProgram], clock: TickClock, control: TurnControl, idling: Idling
    ) {
        self.programs = programs
        self.clock = clock
        self.control = control
        self.idling = idling
        watch = InterferenceWatch(clock: clock)
    }

    /// What its thread found out, once it has ended.
    public private(set) var interference = Interference()
    public var longestStepNanoseconds: Double { clock.nanoseconds(from: longestStep) }

    /// Runs all programs to their end, or until the turn is abandoned.
    public func run() {
        let probeMargin = clock.ticks(fromNanoseconds: Self.probeMargin)
        var isMeasuring = false
        var turns: UInt32 = 0
        var last = clock.now()
        while !programs.isEmpty, !control.isAbandoned {
            if !isMeasuring, control.isMeasuring {
                isMeasuring = true
                watch.begin()
                longestStep = 0
                last = clock.now()
            }
            var next = UInt64.max
            var worked = false
            var index = 0
            while index < programs.count {
                let step = programs[index].step(
                    Moment(now: last, lastGapEnd: watch.gaps.lastEnd))
                switch step {
                case .idle(let due): next = min(next, due)
                case .worked, .workedLong:
                    worked = true
                    last = note(step, since: last)
                case .done:
                    programs.remove(at: index)
                    continue
                }
                index += 1
            }
            if !worked {
                // The clock is read behind the pause: what is found by the next steps was not there before.
                if case .poll = idling { pauseProcessor() }
                last = note(.idle(until: next), since: last)
            }
            // Where a program is due soon, it comes first; where one always is, there is no better moment.
            if isMeasuring, next > last &+ probeMargin, let probed = watch.probe(at: last) {
                last = probed
            }
            turns &+= 1
            if programs.isEmpty { break }
            if !worked { last = wait(until: next, last) }
            // Where it shares its processor, it gives it away now and then also while it works.
            if case .sleep = idling, turns & 63 == 0 {
                yieldProcessor()
                last = clock.now()
            }
        }
        for program in programs { program.giveUp() }
        interference = watch.finish()
    }

    /// Takes a step that was taken since `start`, and returns the present.
    @inline(__always)
    private func note(_ step: ProgramStep, since start: UInt64) -> UInt64 {
        let now = clock.now()
        if step == .workedLong {
            longestStep = max(longestStep, TickClock.elapsed(from: start, to: now))
        } else {
            watch.noteTurn(from: start, to: now)
        }
        if case .idle = step { return now }
        watch.noteWork(at: now)
        return now
    }

    /// Nothing is to be done before `due`; returns the present. Time that it slept is nobody's gap.
    private func wait(until due: UInt64, _ now: UInt64) -> UInt64 {
        guard case .sleep(let sleep) = idling else { return now }
        let left = due > now ? clock.nanoseconds(from: due &- now) as UInt64 : 0
        if left > Self.sleepMargin {
            sleep(.after(nanoseconds: min(left - Self.sleepMargin, Self.longestSleep)))
        } else {
            yieldProcessor()
        }
        return clock.now()
    }
}

// One thread runs it; whoever started that reads the rest once it has been joined.
extension VCPU: @unchecked Sendable {}
