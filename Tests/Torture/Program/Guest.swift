import DmaLinux
import GuestMemory
import PinLock
import Synchronization

/// The guest and a living device beside the one that dies: what can be converted, and what must not be.
struct Guest<S: PinStrategy> {
    private let strategy: S
    private let scenario: Scenario
    private let pinner: S.Device
    private var held: [(pin: Pin, ranges: [PageRange])] = []
    private(set) var conversions = 0

    init(_ strategy: S, _ scenario: Scenario, living: DeviceID) throws {
        self.strategy = strategy
        self.scenario = scenario
        try strategy.convert(scenario.shared, to: .shared)
        pinner = strategy.pinner(for: living)
        try pin()
    }

    private mutating func pin() throws(PinRefusal) {
        for ranges in scenario.held { held.append((try pinner.pin(ranges.span), ranges)) }
    }

    /// Everything is as if nobody had died; when the first conversion was done, by CLOCK_MONOTONIC.
    @discardableResult
    mutating func check() throws -> UInt64 {
        let first = try convertOnce()
        try convertWhatIsFree()
        if let complaint = try strategy.audit() { throw Complaint(description: complaint) }
        while let (pin, _) = held.popLast() {
            pinner.unpin(pin)
            try convertWhatIsFree()
        }
        try pin()
        return first
    }

    private var free: [PageRange] {
        scenario.shared.without(S.info.promisesByPins ? held.flatMap(\.ranges) : [])
    }

    /// Converts one entry to private and back; when the first of the two was done.
    private mutating func convertOnce() throws -> UInt64 {
        guard let run = free.first else { return monotonicNanoseconds() }
        let entry = PageRange(start: run.lower, count: scenario.entrySize.pages)
        try strategy.convert(entry, to: .private)
        let first = monotonicNanoseconds()
        try strategy.convert(entry, to: .shared)
        conversions += 2
        return first
    }

    /// Converts every shared page that the living device does not hold, and tries some that it does.
    private mutating func convertWhatIsFree() throws {
        for run in free {
            try strategy.convert(run, to: .private)
            try strategy.convert(run, to: .shared)
            conversions += 2
        }
        // Where the pins promise nothing, neither is anything denied.
        if S.info.isSafe, S.info.promisesByPins { try expectDenied() }
    }

    private func expectDenied() throws {
        for pinned in held.flatMap(\.ranges).flatMap({ [$0.lower, $0.upper - 1] }) {
            do throws(ConversionRefusal) {
                try strategy.convert(page(pinned), to: .private)
            } catch {
                guard error == .pinned(GFN(pinned)) else { throw error }
                continue
            }
            throw Complaint(description: "\(GFN(pinned)) was converted under a living pin")
        }
    }

}

extension PinStrategy {
    /// Asks again where nobody could tell in time what is pinned: whoever has the mutex may be off its processor.
    func convert(_ range: PageRange, to state: PageState) throws(ConversionRefusal) {
        let patience = Deadline.after(milliseconds: 10_000)
        while true {
            do throws(ConversionRefusal) {
                _ = try convert(range, to: state, policy: .deny, hooks: ConversionHooks())
                return
            } catch {
                guard case .busy = error, !patience.hasPassed else { throw error }
                DmaLinux.sleep(until: .after(milliseconds: 1))
            }
        }
    }
}

/// A conversion to private that waits for pins, on a thread of its own.
final class WaitingConversion {
    private let thread: JoinableThread
    private let outcome: Outcome

    private final class Outcome: Sendable {
        let refusal = Mutex<ConversionRefusal?>(nil)
    }

    init(of range: PageRange, _ strategy: some PinStrategy) throws(SystemError) {
        let outcome = Outcome()
        self.outcome = outcome
        thread = JoinableThread(
            try WorkerThread(name: "converter") {
                do throws(ConversionRefusal) {
                    _ = try strategy.convert(
                        range, to: .private, policy: .wait(until: .after(milliseconds: 10_000)),
                        hooks: ConversionHooks())
                } catch {
                    outcome.refusal.withLock { $0 = error }
                }
            })
    }

    /// Waits for its end; throws where it was refused.
    func finish() throws {
        thread.join()
        if let refusal = outcome.refusal.withLock({ $0 }) {
            throw Complaint(description: "a conversion that waited was refused: \(refusal)")
        }
    }

    deinit { thread.join() }
}
