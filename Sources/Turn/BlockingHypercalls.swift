import DmaLinux
import Guest
import GuestMemory
import Hypervisor

/// Hypercalls of a vCPU that sleeps where a conversion waits, instead of going on with other programs.
final class BlockingHypercalls: Hypercalls {
    private let handler: PSCHandler
    private let control: TurnControl

    /// So long it sleeps at most before it looks whether the turn is over.
    private static let longestSleep: UInt64 = 10_000_000

    init(_ handler: PSCHandler, _ control: TurnControl) {
        self.handler = handler
        self.control = control
    }

    func begin(
        _ range: PageRange, toPrivate: Bool, due: UInt64, at moment: Moment
    ) -> PageStateChange? {
        handler.begin(range, toPrivate: toPrivate, due: due, at: moment) ?? poll(at: moment)
    }

    /// Nil where the turn is over before there is an answer.
    func poll(at moment: Moment) -> PageStateChange? {
        while !control.isStopped {
            handler.sleep(until: .after(nanoseconds: Self.longestSleep))
            if let answer = handler.poll(at: moment) { return answer }
        }
        return nil
    }

    func abandon() { handler.abandon() }

    func changePageState(_ range: PageRange, toPrivate: Bool, due: UInt64) -> PageStateChange {
        handler.changePageState(range, toPrivate: toPrivate, due: due)
    }
}
