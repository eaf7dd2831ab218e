import CLinux
import DmaLinux
import Glibc

/// The clock of every measurement: the time-stamp counter where it is invariant, else CLOCK_MONOTONIC_RAW.
///
/// Ticks of one machine compare across its processors and processes. The clock's own cost is in every interval;
/// it is reported (`measuredCost`), never subtracted.
public struct TickClock: Sendable {
    public let scale: ClockScale
    @usableFromInline let readsCounter: Bool

    /// The clock of a process that was handed its scale.
    public init(scale: ClockScale) {
        self.scale = scale
        readsCounter = scale.readsCounter != 0
    }

    /// A clock calibrated here, in some 10 ms.
    public static func calibrated() -> TickClock { TickClock(scale: .calibrated()) }

    /// Now, in ticks: after every earlier instruction, before any later one.
    @inlinable
    public func now() -> UInt64 {
        readsCounter ? clinux_tsc() : readClock(CLOCK_MONOTONIC_RAW)
    }

    /// How long `ticks` last; more than UInt64 holds is UInt64.max.
    @inlinable
    public func nanoseconds(from ticks: UInt64) -> UInt64 {
        let product = ticks.multipliedFullWidth(by: scale.multiplier)
        guard product.high >> 32 == 0 else { return UInt64.max }
        return product.high << 32 | product.low >> 32
    }

    /// How long `ticks` last, with the fraction.
    @inlinable
    public func nanoseconds(from ticks: UInt64) -> Double {
        Double(ticks) * Double(scale.multiplier) * 0x1p-32
    }

    /// The ticks between two moments; none where the clock has stepped back, as a virtual machine's may that is moved.
    @inlinable
    public static func elapsed(from start: UInt64, to end: UInt64) -> UInt64 {
        end > start ? end &- start : 0
    }

    public var nanosecondsPerTick: Double { Double(scale.multiplier) * 0x1p-32 }

    /// How many ticks go by in so many nanoseconds; more than UInt64 holds is UInt64.max.
    public func ticks(fromNanoseconds nanoseconds: UInt64) -> UInt64 {
        let (high, low) = nanoseconds.multipliedFullWidth(by: 1 << 32)
        guard high < scale.multiplier else { return UInt64.max }
        return scale.multiplier.dividingFullWidth((high, low)).quotient
    }

    /// The median time between two reads in a row, in nanoseconds.
    public func measuredCost() -> Double {
        var intervals = [UInt64](repeating: 0, count: 1001)
        for index in intervals.indices {
            let start = now()
            intervals[index] = now() &- start
        }
        intervals.sort()
        return nanoseconds(from: intervals[intervals.count / 2])
    }
}
