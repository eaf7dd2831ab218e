import DmaLinux
import Synchronization
import Telemetry
import Testing

@testable import Guest

@Suite struct VCPUTests {
    private func measuring() -> TurnControl {
        let control = TurnControl()
        control.noteSettled()
        #expect(control.mayMeasure(testClock.now()))
        return control
    }

    private func stall(milliseconds: UInt64) {
        let end = Deadline.after(milliseconds: milliseconds)
        while !end.hasPassed {}
    }

    @Test func runsItsProgramsInTurnUntilAllAreDone() {
        var log: [Int] = []
        func program(_ number: Int, steps: Int) -> ScriptedProgram {
            var left = steps
            return ScriptedProgram { _ in
                log.append(number)
                left -= 1
                return left == 0 ? .done : .worked
            }
        }
        let programs = [program(1, steps: 2), program(2, steps: 4), program(3, steps: 1)]
        VCPU(programs, clock: testClock, control: measuring(), idling: .poll).run()
        #expect(log == [1, 2, 3, 1, 2, 2, 2])
    }

    @Test func returnsWhereTheTurnIsAbandoned() {
        let control = measuring()
        let program = ScriptedProgram { _ in
            control.abandon()
            return .worked
        }
        VCPU([program], clock: testClock, control: control, idling: .poll).run()
        #expect(program.steps == 1)
    }

    /// Short work that takes long has lost its processor; long work has not, and is told of as a step.
    @Test(arguments: [ProgramStep.worked, .idle(until: .max), .workedLong])
    func whatTakesTooLongIsAGap(_ step: ProgramStep) {
        var turns = 0
        var gapSeen = false
        let program = ScriptedProgram { [self] moment in
            turns += 1
            if turns == 10 { stall(milliseconds: 3) }
            if turns > 10, moment.lastGapEnd > 0 { gapSeen = true }
            return turns == 20 ? .done : turns == 10 ? step : .worked
        }
        let vcpu = VCPU([program], clock: testClock, control: measuring(), idling: .poll)
        vcpu.run()
        let isGap = step != .workedLong
        // Others may take the processor as well.
        #expect(vcpu.interference.longestGapNanoseconds >= 3e6 || !isGap)
        #expect(vcpu.longestStepNanoseconds >= 3e6 || isGap)
        if isGap { #expect(gapSeen && vcpu.interference.gaps >= 1) }
        #expect(vcpu.interference.spanNanoseconds >= 3e6)
    }

    /// A sleep is nobody's gap.
    @Test func sleepsUntilShortlyBeforeSomethingIsDue() {
        let asked = Mutex<[UInt64]>([])
        let start = testClock.now()
        let due = start + testClock.ticks(fromNanoseconds: 30_000_000)
        let program = ScriptedProgram { moment in moment.now >= due ? .done : .idle(until: due) }
        let vcpu = VCPU(
            [program], clock: testClock, control: measuring(),
            idling: .sleep { [now = Deadline.now.nanoseconds] deadline in
                asked.withLock { $0.append(deadline.nanoseconds - now) }
                sleep(until: deadline)
            })
        vcpu.run()
        let sleeps = asked.withLock { $0 }
        #expect(!sleeps.isEmpty)
        #expect(program.steps < 100_000)
    }

    @Test func looksAtItsCoreNowAndThen() {
        let end = testClock.now() + testClock.ticks(fromNanoseconds: 50_000_000)
        let program = ScriptedProgram { $0.now >= end ? .done : .idle(until: .max) }
        let vcpu = VCPU([program], clock: testClock, control: measuring(), idling: .poll)
        vcpu.run()
        #expect((vcpu.interference.probes.count > 0) == CoreProbe.isAvailable)
        #expect(vcpu.interference.probes.count <= 60)
    }

    /// Where something is always due, it looks between two steps; where something is due soon, it leaves that alone.
    @Test func leavesWhatIsDueSoonAlone() {
        let soon = testClock.ticks(fromNanoseconds: 5_000)
        var left = 1000
        let program = ScriptedProgram { moment in
            left -= 1
            return left == 0 ? .done : .idle(until: moment.now + soon)
        }
        let vcpu = VCPU([program], clock: testClock, control: measuring(), idling: .poll)
        vcpu.run()
        // But for one that found its processor taken away, past what was due.
        #expect(vcpu.interference.probes.count <= 1 + vcpu.interference.gaps)
    }
}
