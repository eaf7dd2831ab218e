import Guest
import PinLock
import Settings
import Telemetry
import VirtualDevice

/// What happens in one turn: its settings, the guest's memory map, and where everybody runs.
public struct TurnPlan: Sendable {
    public internal(set) var settings: TurnSettings
    public let map: MemoryMap
    /// Where devices and vCPUs run, and who of them sleeps.
    public let processors: ProcessorLayout
    /// Whether each sample is wanted.
    public var streamsSamples = false
    /// How many conversions are kept one by one.
    public var eventLimit = 0
    /// The most that a core has been seen to do in this run, in adds a cycle; zero where nothing is known.
    public var bestAddsPerCycle = 0.0
    /// What the driver replays; nil where it sends the buffer again and again.
    public var trace: TraceLayout?
    /// How long a conversion waits for a pin, and a pin for a conversion.
    let timeoutNanoseconds: UInt64 = 1_000_000_000

    /// `map` is that of a guest of those settings.
    public init(_ settings: TurnSettings, map: MemoryMap, processors: ProcessorLayout) {
        precondition(settings.devices == map.buffers.count, "a buffer for each device")
        self.settings = settings
        self.map = map
        self.processors = processors
    }

    var strategy: any PinStrategy.Type { settings.strategy.type }

    /// Whether the devices' page tables keep them from private pages.
    var protects: Bool {
        settings.writes && (settings.enforces || strategy.info.protectsPages)
    }

    /// What the device at `index` is told of the turn.
    func setup(ofDevice index: Int, scale: ClockScale) -> TurnSetup {
        let start = map.queueStarts[index]
        var setup = TurnSetup(
            settings, rings: map.queueLayout.rings(at: start),
            queueArea: map.queueLayout.area(at: start), scale: scale)
        setup.sleeps = processors.devicesSleep
        setup.calls = processors.vcpusSleep
        setup.isProtected = protects
        setup.guestPages = map.pages
        setup.buffer = map.buffers[index].shape
        setup.requestPages =
            trace?.largestRequest ?? (map.targets.first ?? map.buffers[index]).pages
        setup.piecesPerRequest = map.piecesPerRequest
        setup.retryNanoseconds = timeoutNanoseconds
        setup.streamsSamples = streamsSamples
        setup.bestAddsPerCycle = bestAddsPerCycle
        return setup
    }

    /// Whether a request may have to wait between when it is due and when it is submitted. One that comes as soon as the
    /// only other one is completed has no time at which it was due.
    var countsFromDue: Bool { trace == nil || settings.speed != .max || settings.depth > 1 }

    /// Requests of a device in flight at most.
    var depth: Int { trace == nil ? settings.depth : map.queueLayout.requests }

    /// When the requests of the device at `index` are due; nil where the next one comes as soon as the only one in flight
    /// is completed.
    func pace(ofDevice index: Int, _ clock: TickClock) -> (any RequestPace)? {
        if let trace {
            return TracePace(
                trace, speed: settings.speed.factor, isRepeated: settings.length != .usual,
                clock: clock)
        }
        switch settings.dmaRate {
        case .perSecond(let rate):
            return OpenLoop(
                rate: Double(rate), arrivals: settings.arrivals, device: index,
                seed: settings.seed, clock: clock)
        case .max where settings.idleNanoseconds == 0 && settings.depth == 1: return nil
        case .max:
            return ClosedLoop(pause: clock.ticks(fromNanoseconds: settings.idleNanoseconds))
        }
    }

    /// When there are enough DMAs, and when it must end.
    func limits(_ clock: TickClock) -> TurnControl.Limits {
        func ticks(_ nanoseconds: UInt64) -> UInt64 { clock.ticks(fromNanoseconds: nanoseconds) }
        var limits = TurnControl.Limits(
            operations: 4, isExact: false, shortest: ticks(200_000_000),
            longest: ticks(Self.longest), warmUp: ticks(Self.longest))
        switch settings.length {
        case .usual where trace != nil:
            // Over with the trace, which the driver knows.
            limits.operations = .max
            limits.shortest = 0
            limits.longest = ticks(.max)
        case .usual: break
        case .operations(let count):
            limits.operations = count
            limits.isExact = true
            limits.shortest = 0
            limits.longest = ticks(.max)
        case .seconds(let seconds):
            limits.operations = 1
            limits.shortest = ticks(UInt64(seconds * 1e9))
            limits.longest = limits.shortest
            limits.warmUp = min(limits.warmUp, limits.longest)
        }
        return limits
    }

    /// In nanoseconds: of a turn whose length nobody gave, and of any turn's warm-up.
    private static let longest: UInt64 = 60_000_000_000
}
