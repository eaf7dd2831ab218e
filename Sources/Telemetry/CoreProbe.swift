import CLinux

/// Is this core's other hardware thread busy?
///
/// A guest often sees one thread a core; the other belongs to somebody else, and slows what is measured by a quarter and
/// more without a trace in the kernel's counters. A core has so many adders for all its threads: a thread alone gets
/// them all, beside a busy one about half. What an add takes in nanoseconds depends on the frequency, which moves; a
/// chain of adds that wait for each other takes a cycle each whatever the other thread does, and so gives the cycle.
public enum CoreProbe {
    /// Whether there is a probe for this processor.
    public static let isAvailable = clinux_has_add_loops()

    /// A fifth to a third of a probe each, at some 4 GHz.
    private static let chainRounds: UInt64 = 48
    private static let wideRounds: UInt64 = 192

    /// Independent adds in a cycle, in some 4 us: about 4 on a core of four adders with nobody else on it, about 2
    /// where its other thread is as busy. Zero where there is no probe.
    ///
    /// Each half is the shorter of two tries: an interrupt within one of them does not count.
    public static func addsPerCycle(_ clock: TickClock) -> Double {
        guard isAvailable else { return 0 }
        var chain = UInt64.max
        var wide = UInt64.max
        for _ in 0..<2 {
            let start = clock.now()
            clinux_add_chain(chainRounds)
            let middle = clock.now()
            clinux_add_wide(wideRounds)
            let end = clock.now()
            chain = min(chain, middle &- start)
            wide = min(wide, end &- middle)
        }
        // Rounds are equally long: adds in the time of one add of the chain, which is a cycle.
        return Double(wideRounds * chain) / Double(chainRounds * max(wide, 1))
    }
}
