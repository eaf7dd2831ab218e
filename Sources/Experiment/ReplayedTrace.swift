import Guest
import PinLock
import Settings
import Trace

/// A recorded load that drives the device instead of a driver's requests of one size.
public struct ReplayedTrace: Sendable {
    /// The last part of its file's path.
    public let name: String
    /// A hash of its content, in hexadecimal digits: what tells it from any other trace, whatever the file is called.
    public let identity: String
    public let layout: TraceLayout
    /// The longest time between two requests, in nanoseconds.
    public let longestPause: UInt64

    public init(_ trace: Trace, name: String, identity: String) {
        self.name = name
        self.identity = identity
        layout = TraceLayout(trace)
        longestPause =
            zip(trace.requests, trace.requests.dropFirst()).map { $1.due - $0.due }.max() ?? 0
    }

    /// What rows call it, `NAME@HASH`: two that have a name in common are two.
    public var label: String { "\(name)\(Self.separator)\(identity.prefix(Self.digits))" }

    private static let separator: Character = "@"
    private static let digits = 8

    /// The name in a label of a row.
    public static func name(in label: String) -> String {
        guard let place = label.lastIndex(of: separator) else { return label }
        let hash = label[place...].dropFirst()
        return hash.count == digits && hash.allSatisfy(\.isHexDigit)
            ? String(label[..<place]) : label
    }

    /// Requests that are in flight at most: where each has its time, the guest waits for no device.
    static func places(_ settings: TurnSettings) -> Int {
        settings.speed == .max ? settings.depth : 128
    }
    /// The longest pause that is replayed, in nanoseconds: well below the ten minutes after which a turn without a
    /// completion is given up.
    private static let pauseLimit = 300_000_000_000.0

    /// The settings of a cell that replays it: the buffer is all that the trace names, and data goes its ways.
    func applied(to settings: TurnSettings) -> TurnSettings {
        var settings = settings
        settings.size = layout.pages
        settings.direction = layout.direction
        return settings
    }

    /// Why these settings make no sense with a trace; nil where they do.
    func refusal(of settings: TurnSettings) -> String? {
        let usual = TurnSettings()
        if settings.size != usual.size { return "--size: requests have the sizes of the trace" }
        if settings.ranges != usual.ranges {
            return "--ranges: requests have the ranges of the trace"
        }
        if settings.spread != usual.spread {
            return "--spread: ranges lie where the trace has them"
        }
        if settings.misalignment != usual.misalignment {
            return "--misalign: ranges lie where the trace has them"
        }
        if settings.dmaRate != usual.dmaRate || settings.idleNanoseconds != usual.idleNanoseconds {
            return "--dma-rate and --idle: requests come when they did in the trace"
        }
        if settings.depth != usual.depth, settings.speed != .max {
            return "--depth: requests come when they did in the trace, however many are in flight"
        }
        if settings.direction != usual.direction {
            return "--direction: requests go the ways of the trace"
        }
        if settings.devices != 1 { return "--devices: a trace is that of one device" }
        if layout.direction != .write, settings.writes, settings.enforces {
            return "--enforce mmu: nothing stops a device that reads, and the trace has reads"
        }
        if case .times(let speed) = settings.speed, Double(longestPause) / speed > Self.pauseLimit {
            return
                "--speed: two requests are \(longestPause / 1_000_000_000) s apart, and five minutes is the most; choose a higher one, or max"
        }
        return nil
    }

    /// Why a strategy cannot have this load; nil where it can.
    func unavailability(of info: StrategyInfo, writes: Bool) -> String? {
        if info.needsPool { return "a guest's own pool is in its trace already" }
        if info.protectsPages, writes, layout.direction != .write {
            return "nothing stops a device that reads, and the trace has reads"
        }
        return nil
    }
}
