/// One of the things that a guest does on a vCPU: the driver of a device, or a converter of pages.
///
/// A vCPU runs its programs in turn, so a step is bounded: some microseconds of work at most, no sleep, no yield, no
/// lock that somebody else may hold for long. What comes of a step decides what the vCPU makes of its time.
public protocol GuestProgram: AnyObject {
    func step(_ moment: Moment) -> ProgramStep

    /// The turn is abandoned: there is no other step. What others may wait for is given back.
    func giveUp()
}

extension GuestProgram {
    public func giveUp() {}
}

/// When a vCPU turns to a program.
public struct Moment: Sendable {
    /// In ticks of the vCPU's clock.
    public let now: UInt64
    /// Until when the vCPU was last kept from running, in ticks; zero where it never was.
    public let lastGapEnd: UInt64

    public init(now: UInt64, lastGapEnd: UInt64 = 0) {
        self.now = now
        self.lastGapEnd = lastGapEnd
    }
}

/// What a program did in a step.
public enum ProgramStep: Sendable, Equatable {
    /// Nothing; there is nothing to do before that time, in ticks, unless a device says something.
    case idle(until: UInt64)
    /// Work that takes a microsecond or so: if it took much longer, somebody took the processor away.
    case worked
    /// Work that takes as long as it takes: a conversion, a copy.
    case workedLong
    /// It has come to its end.
    case done
}
