import Testing

@testable import Telemetry

@Suite struct ClockStepTests {
    /// Readings of a clock that shows `step` times a whole number, rounded down, each `next()` steps after the last.
    private func readings(
        step: Double, count: Int = 4096, from start: Double = 1e12, _ next: () -> UInt64
    ) -> [UInt64] {
        var steps = (start / step).rounded()
        return (0..<count).map { _ in
            steps += Double(next())
            return UInt64(steps * step)
        }
    }

    /// A cycle of short distances in no order, with a gap now and then.
    private func distances(least: UInt64, spread: UInt64) -> () -> UInt64 {
        var state: UInt64 = 1
        return {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let gap: UInt64 = state >> 33 % 500 == 0 ? state >> 40 : 0
            return least + (state >> 40) % spread + gap
        }
    }

    @Test(arguments: [1, 2, 4, 26, 100, 1000] as [Double])
    func wholeSteps(step: Double) {
        // Reading takes at least 40 ticks, whatever the step.
        let least = UInt64((40 / step).rounded(.up))
        let readings = readings(step: step, distances(least: least, spread: max(3, 20 / least)))
        #expect(TickClock.step(of: readings) == step)
    }

    /// A counter of 26 at a time that a hypervisor scales, or that the kernel shows as nanoseconds.
    @Test(arguments: [10.04, 24.375, 25.9, 41.67, 52.0833])
    func stepsOfNoWholeNumberOfTicks(step: Double) throws {
        for least: UInt64 in [1, 2, 5] {
            let readings = readings(step: step, distances(least: least, spread: 4))
            let found = try #require(TickClock.step(of: readings))
            #expect(abs(found / step - 1) < 0.002, "\(found) with distances from \(least)")
        }
    }

    @Test func gapsDoNotCount() {
        var now: UInt64 = 0
        let readings = (0..<1000).map { index in
            now += 26 * UInt64(1 + index % 3)
            if index % 97 == 5 { now += 1_000_003 &* UInt64(index) }
            return now
        }
        #expect(TickClock.step(of: readings) == 26)
    }

    @Test func whatManyDifferencesHaveInCommon() {
        // Nothing as short as the step was seen, nor two differences that lie a step apart.
        #expect(TickClock.step(of: [0, 52, 182, 234, 364]) == 26)
        #expect(TickClock.step(of: [0, 36, 85, 145]) == 1)
        #expect(TickClock.step(of: [0, 52, 104, 156]) == 52)
    }

    @Test func aClockThatStandsStillHasNone() {
        #expect(TickClock.step(of: []) == nil)
        #expect(TickClock.step(of: [7]) == nil)
        #expect(TickClock.step(of: [7, 7, 7]) == nil)
        #expect(TickClock.step(of: [7, 6]) == nil)
        #expect(TickClock.step(of: [7, 7, 9]) == 2)
        #expect(TickClock.step(of: [0, UInt64.max]) == 0x1p64)
    }

    @Test func theStepsOfThisMachinesClocks() {
        for clock in [TickClock.calibrated(), TickClock(scale: .monotonicRaw)] {
            let step = clock.measuredStep()
            #expect(step > 0 && step.isFinite)
        }
    }
}
