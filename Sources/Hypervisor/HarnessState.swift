import DmaLinux

/// What the kernel tells of the harness's own process and its group.
public struct HarnessState: Sendable {
    public private(set) var stops = StopCounter.count
    /// Nil where nobody tells.
    public private(set) var throttledNanoseconds = QuotaThrottling.throttledNanoseconds()

    /// As it is now.
    public init() {}

    /// What has come since then; of what was not told at both times nothing is known.
    public func since(_ earlier: HarnessState) -> HarnessState {
        var difference = self
        difference.stops -= earlier.stops
        difference.throttledNanoseconds = throttledNanoseconds.flatMap { now in
            earlier.throttledNanoseconds.map { now - min(now, $0) }
        }
        return difference
    }
}
