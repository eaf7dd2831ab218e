import PinLock
import Telemetry

/// What became of a turn's conversions, as the thread that asked for them saw it.
public final class ConversionLog {
    /// Of those carried out, in nanoseconds: from when they were due, and from their begin.
    public private(set) var latency = LatencyHistogram()
    public private(set) var call = LatencyHistogram()
    /// From when they were due, of those that met no gap: nobody took the vCPU's processor away between due and done.
    public private(set) var undisturbed = LatencyHistogram()
    /// From the begin, of those that were denied.
    public private(set) var deniedCall = LatencyHistogram()
    public private(set) var denied: UInt64 = 0
    /// Of those, for want of an answer in time.
    public private(set) var busy: UInt64 = 0
    public private(set) var waited: UInt64 = 0
    public private(set) var revoked: UInt64 = 0
    /// What the oracle and the harness's own enforcement took of those carried out, which is subtracted from their times;
    /// all together, in nanoseconds.
    public private(set) var checking = 0.0
    /// The longest time for which one waited for pins, carried out or not; nil where none did. In nanoseconds.
    public private(set) var longestWait: UInt64?
    /// The longest time in which all were refused, from when the first of them was due to the last, or to the next one
    /// carried out; nil where none was. In nanoseconds.
    public private(set) var longestDenial: UInt64?
    /// When the first was due of those that have been refused since one was carried out.
    private var deniedSince: UInt64?

    /// The first that were carried out or refused, as many as were asked for.
    public private(set) var events: [Event] = []
    private let eventLimit: Int

    /// A conversion; times are in nanoseconds of the clock of the turn.
    public struct Event: Sendable {
        public enum Ending: String, Sendable {
            case done
            case waited
            case revoked
            case denied
            case busy
        }

        public let due: UInt64
        public let begin: UInt64
        public let end: UInt64
        public let ending: Ending
    }

    init(events limit: Int = 0) {
        eventLimit = limit
        events.reserveCapacity(limit)
    }

    private func note(_ times: Times, _ ending: Event.Ending) {
        guard events.count < eventLimit else { return }
        events.append(
            Event(due: times.due, begin: times.begin, end: times.now, ending: ending))
    }

    public var done: UInt64 { latency.count }

    /// The times of one conversion; `due` is when it should have started, in nanoseconds of the clock of `now`.
    struct Times {
        let due: UInt64
        let now: UInt64
        let begin: UInt64
        let call: UInt64
        let checking: Double
        let isDisturbed: Bool
    }

    func refuse(_ times: Times, isBusy: Bool) {
        denied += 1
        if isBusy { busy += 1 }
        note(times, isBusy ? .busy : .denied)
        deniedCall.record(times.call)
        let since = deniedSince ?? times.due
        deniedSince = since
        noteDenial(from: since, to: times.now)
    }

    private func noteDenial(from start: UInt64, to end: UInt64) {
        longestDenial = max(longestDenial ?? 0, end - min(start, end))
    }

    func noteWait(_ nanoseconds: UInt64) {
        longestWait = max(longestWait ?? 0, nanoseconds)
    }

    func record(_ path: ConversionPath, _ times: Times) {
        let elapsed = times.now - min(times.now, times.due)
        let nanoseconds = elapsed - min(elapsed, UInt64(times.checking))
        latency.record(nanoseconds)
        call.record(times.call)
        if !times.isDisturbed { undisturbed.record(nanoseconds) }
        checking += times.checking
        if let since = deniedSince { noteDenial(from: since, to: times.now) }
        deniedSince = nil
        switch path {
        case .immediate: note(times, .done)
        case .waited:
            waited += 1
            note(times, .waited)
        case .revoked:
            revoked += 1
            note(times, .revoked)
        }
    }
}

// Handed from the thread that fills it to the one that reads it, once that has ended.
extension ConversionLog: @unchecked Sendable {}
