import DmaLinux
import GuestMemory
import Testing

@testable import PinLock

/// Under one mutex, a pin's look at the pages and its listing are one step for everybody else.
@Suite struct MutexOrderTests {
    /// A device waits for the mutex; a conversion, which needs none for that, closes a page meanwhile.
    private func pinAroundAClose<Strategy: UnderOneMutex>(_: Strategy.Type) throws {
        let strategy = try make(Strategy.self, pages: 8, sharing: range(0..<8))
        let device = strategy.pinner(for: DeviceID(0))
        let journal = strategy.arena.journal(of: DeviceID(0))
        let outcome = strategy.pins.mutex.withLock {
            Result {
                let thread = try Outcome.ofPin(range(2..<5), by: device)
                waitUntil { journal.isAtMutex }
                // What it should not do before it has the mutex, it has done by now.
                sleep(until: .after(milliseconds: 5))
                try strategy.close(page(3))
                return thread
            }
        }
        #expect(try outcome.get().refusal() != nil)
        #expect(strategy.firstPinned(in: range(0..<8)) == nil)
        strategy.open(page(3))
        #expect(try strategy.audit() == nil)
    }

    @Test func aPinLooksOnceItHasTheMutex() throws {
        try pinAroundAClose(MutexList.self)
        try pinAroundAClose(IntervalTreeLock.self)
    }
}

/// A pin on a thread of its own, and what came of it.
private final class Outcome: @unchecked Sendable {
    // Each the thread's, until that has been joined.
    private let pinner: any Pinner
    private var refused: PinRefusal?
    private var thread: WorkerThread?

    private init(_ pinner: any Pinner) { self.pinner = pinner }

    static func ofPin(_ range: PageRange, by pinner: any Pinner) throws -> Outcome {
        let outcome = Outcome(pinner)
        outcome.thread = try WorkerThread(name: "device") {
            do throws(PinRefusal) {
                _ = try outcome.pinner.pin(range)
            } catch {
                outcome.refused = error
            }
        }
        return outcome
    }

    func refusal() -> PinRefusal? {
        thread.take()?.join()
        return refused
    }
}
