import DmaLinux
import Glibc
import Testing

@testable import Telemetry

private func nanosecondsNow(_ clock: clockid_t) -> UInt64 {
    var now = timespec()
    clock_gettime(clock, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}

/// On a shared machine one try may meet a long interrupt; a wrong scale fails them all.
private func once(in tries: Int, _ holds: () -> Bool) -> Bool {
    for _ in 0..<tries where holds() { return true }
    return false
}

@Suite struct TickClockTests {
    private let clock = TickClock.calibrated()
    private let fallback = TickClock(scale: .monotonicRaw)

    @Test func neverRunsBackwards() {
        for clock in [clock, fallback] {
            var last = clock.now()
            for _ in 0..<100_000 {
                let now = clock.now()
                #expect(now >= last)
                last = now
            }
        }
    }

    @Test func scaleIsWithinAPercentOfTheKernelsClock() {
        for clock in [clock, fallback] {
            let agrees = once(in: 5) {
                let ticks = clock.now()
                let kernel = nanosecondsNow(CLOCK_MONOTONIC_RAW)
                sleep(until: .after(milliseconds: 50))
                let measured: Double = clock.nanoseconds(from: clock.now() - ticks)
                let expected = Double(nanosecondsNow(CLOCK_MONOTONIC_RAW) - kernel)
                return abs(measured / expected - 1) < 0.01
            }
            #expect(agrees, "\(clock.scale)")
        }
    }

    @Test func withoutACounterTicksAreTheKernelsNanoseconds() {
        let before = nanosecondsNow(CLOCK_MONOTONIC_RAW)
        let ticks = fallback.now()
        #expect(ticks >= before && ticks <= nanosecondsNow(CLOCK_MONOTONIC_RAW))
        #expect(fallback.nanoseconds(from: 12_345) == UInt64(12_345))
        #expect(fallback.nanoseconds(from: UInt64.max) == UInt64.max)
    }

    /// 2^32 ticks of 0.4, 1.75 and 1000 ns.
    @Test(arguments: [1_717_986_918, 7_516_192_768, 4_294_967_296_000] as [UInt64])
    func conversionsAreExact(multiplier: UInt64) {
        let clock = TickClock(scale: ClockScale(readsCounter: 1, multiplier: multiplier))
        for ticks: UInt64 in [0, 1, 3, 1 << 20, 1 << 33 + 7, 1 << 50] {
            let product = ticks.multipliedFullWidth(by: multiplier)
            let expected = product.high << 32 | product.low >> 32
            #expect(clock.nanoseconds(from: ticks) == expected)
            let exact: Double = clock.nanoseconds(from: ticks)
            #expect(abs(exact - Double(expected)) <= 1 + exact * 1e-15)
        }
    }

    @Test func conversionsThatOverflowSaturate() {
        let slow = TickClock(scale: ClockScale(readsCounter: 0, multiplier: 1 << 40))
        #expect(slow.nanoseconds(from: UInt64.max) == UInt64.max)
    }

    @Test func theScaleTravelsAsBytes() {
        #expect(MemoryLayout<ClockScale>.size == 16)
        let bytes = withUnsafeBytes(of: clock.scale) { Array($0) }
        let scale = bytes.withUnsafeBytes { $0.loadUnaligned(as: ClockScale.self) }
        let other = TickClock(scale: scale)
        #expect(other.scale == clock.scale)
        let before = clock.now()
        let between = other.now()
        #expect(before <= between && between <= clock.now())
    }

    @Test func itsCostIsMeasured() {
        for clock in [clock, fallback] {
            let cost = clock.measuredCost()
            #expect(cost > 0 && cost.isFinite)
        }
    }
}
