import DmaLinux

/// What the kernel tells of the harness's own process and its group.
struct MachineState {
    var stops = StopCounter.count
    /// Nil where nobody tells.
    var throttledNanoseconds = QuotaThrottling.throttledNanoseconds()

    func since(_ earlier: MachineState) -> MachineState {
        var difference = self
        difference.stops -= earlier.stops
        if let now = throttledNanoseconds, let before = earlier.throttledNanoseconds {
            difference.throttledNanoseconds = now - min(now, before)
        }
        return difference
    }
}
