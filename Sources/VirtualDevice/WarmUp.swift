import Telemetry

/// Whether memory has settled: windows of at least 2 ms of writing, of which the last three agree within 3 %.
struct WarmUp {
    private static let windowNanoseconds = 2_000_000.0
    private static let tolerance = 1.03
    private static let windowLimit = 8

    private var windows: [Double] = []
    private var time = 0.0
    private var bytes = 0.0
    private var operations = 0
    private let writes: Bool

    init(writes: Bool) { self.writes = writes }

    /// Takes a completed DMA; says how it stands since then.
    mutating func note(_ sample: DMASample, clock: TickClock) -> DeviceTelemetry.Settling {
        operations += 1
        // Without writes there is no memory to settle: caches and branches have seen three requests.
        guard writes else { return operations >= 3 ? .done : .underWay }
        time += clock.nanoseconds(from: sample.writeTicks)
        bytes += Double(sample.bytes)
        guard time >= Self.windowNanoseconds, bytes > 0 else { return .underWay }
        windows.append(time / bytes)
        (time, bytes) = (0, 0)
        let last = windows.suffix(3)
        if last.count == 3, last.max()! <= last.min()! * Self.tolerance { return .done }
        return windows.count >= Self.windowLimit ? .givenUp : .underWay
    }
}
