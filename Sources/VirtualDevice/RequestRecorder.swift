import Telemetry

/// What a device keeps of its requests: whether its memory has settled, then statistics; and, where they are asked for,
/// a sample of each.
struct RequestRecorder: ~Copyable {
    private(set) var statistics = RequestStatistics()
    private let telemetry: DeviceTelemetry
    private let clock: TickClock
    private let piecesPerRequest: UInt64
    private let streams: Bool
    private var samples: SampleRing.Producer
    private var warmUp: WarmUp
    private var hasSettled = false
    /// Whether a request that counts has been streamed.
    private var hasStarted = false
    /// The request under way: the sum of the pieces that have come, how many they are, and whether it counts.
    private var request = DMASample()
    private var pieces: UInt64 = 0

    init(_ telemetry: DeviceTelemetry, setup: TurnSetup, clock: TickClock) {
        self.telemetry = telemetry
        self.clock = clock
        piecesPerRequest = max(setup.piecesPerRequest, 1)
        streams = setup.streamsSamples
        samples = telemetry.ring.producer()
        warmUp = WarmUp(writes: setup.settings.writes)
    }

    private mutating func stream(_ piece: DMASample, endedAt end: UInt64?) {
        if !hasStarted, let end, piece.generation >= telemetry.measuresFrom {
            hasStarted = true
            telemetry.firstStart = end &- piece.totalTicks
        }
        samples.append(piece, unless: { telemetry.shouldStop })
    }

    /// Takes what came of a piece, which is a whole request where there is no pool.
    /// `end` is when, in ticks.
    mutating func take(_ piece: DMASample, endedAt end: UInt64? = nil) {
        statistics.noteStale(piece)
        // Nobody takes samples any more where the turn has failed.
        if streams { stream(piece, endedAt: end) }
        if pieces == 0 { request = piece } else { request.add(piece) }
        pieces += 1
        guard piece.status != 0 || pieces == piecesPerRequest else { return }
        pieces = 0
        // The request's generation is that of its first piece.
        if request.generation >= telemetry.measuresFrom {
            statistics.record(request, clock: clock)
        } else if request.status == 0, !hasSettled {
            let settling = warmUp.note(request, clock: clock)
            guard settling != .underWay else { return }
            hasSettled = true
            telemetry.settling = settling
        }
    }
}
