import CLinux
import DmaLinux
import Glibc

/// What turns ticks into nanoseconds: plain data, so that processes that exchange ticks share one scale.
public struct ClockScale: BitwiseCopyable, Sendable, Equatable {
    /// One where ticks are the time-stamp counter's, zero where they are nanoseconds of CLOCK_MONOTONIC_RAW.
    public let readsCounter: UInt64
    /// Nanoseconds in 2^32 ticks.
    public let multiplier: UInt64

    static let monotonicRaw = ClockScale(readsCounter: 0, multiplier: 1 << 32)

    /// The scale of this machine, measured against CLOCK_MONOTONIC_RAW over 10 ms.
    ///
    /// Each end of the interval is a bracketed read, right to half its bracket: some 10 parts in a million.
    public static func calibrated() -> ClockScale {
        guard clinux_has_invariant_tsc() else { return monotonicRaw }
        let start = Instant.bracketed(CLOCK_MONOTONIC_RAW, clinux_tsc)
        sleep(until: .after(milliseconds: 10))
        let end = Instant.bracketed(CLOCK_MONOTONIC_RAW, clinux_tsc)
        let elapsed = (end.nanoseconds &- start.nanoseconds).multipliedFullWidth(by: 1 << 32)
        let ticks = end.ticks &- start.ticks
        // A counter that hardly moves, as some emulators' does, is no clock.
        guard ticks > elapsed.high else { return monotonicRaw }
        return ClockScale(readsCounter: 1, multiplier: ticks.dividingFullWidth(elapsed).quotient)
    }
}

/// The same moment on two clocks.
struct Instant {
    let ticks: UInt64
    let nanoseconds: UInt64

    /// The tightest of eight reads of `clock` between two of `ticks`: an interrupt within one widens its bracket.
    static func bracketed(_ clock: clockid_t, _ ticks: () -> UInt64) -> Instant {
        var best = Instant(ticks: 0, nanoseconds: 0)
        var width = UInt64.max
        for _ in 0..<8 {
            let before = ticks()
            let now = readClock(clock)
            let after = ticks()
            if after &- before < width {
                width = after &- before
                best = Instant(ticks: before &+ width / 2, nanoseconds: now)
            }
        }
        return best
    }
}

/// A clock of the kernel's, in nanoseconds.
@usableFromInline
func readClock(_ clock: clockid_t) -> UInt64 {
    var now = timespec()
    clock_gettime(clock, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}
