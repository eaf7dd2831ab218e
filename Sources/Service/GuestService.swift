import DmaLinux
import DmaStatistics
import GuestMemory
import Hypervisor
import PinLock
import Telemetry
import VirtualDevice

/// Who watches a service.
public protocol ServiceObserver: AnyObject {
    /// Whether the service should end with what it has; asked often.
    var shouldStop: Bool { get }
    /// A VMM has connected.
    func connected()
    /// It has gone, or was sent away: then why.
    func disconnected(_ why: ServiceEnd)
    /// A strategy's turn begins.
    func starting(_ strategy: StrategyID, round: Int)
    /// What went wrong and ends nothing.
    func note(_ text: String)
    /// A turn is over; false ends the service.
    func finished(_ result: ServedResult) -> Bool
}

/// Why a connection has ended.
public enum ServiceEnd: Equatable, Sendable {
    /// The VMM has gone.
    case gone
    /// It was sent away: it said what makes no sense.
    case refused(String)
    /// Its guest has more memory than there is room for.
    case tooMuchMemory(PageCount)
    /// The device's process has died; the VMM may come again.
    case died(String)
    case stopped
}

/// Serves guests of somebody else's, one after the other, as a block device over vhost-user: the hypervisor's side, and
/// the strategies' turns.
public final class GuestService {
    let request: ServiceRequest
    let guest: ServedGuest
    let clock: TickClock
    /// A descriptor of the store, where it has one.
    private let store: Int32?
    /// A `TraceRing` that devices fill with the requests of all guests; nil where they are not recorded. To be set before
    /// it runs.
    public var recording: SharedMapping?
    /// Turns that have come to a result, from which follow round and strategy.
    private var turns = 0
    /// Why strategies cannot run here, by their names.
    private let unavailable: [String: String]

    /// `store` stays the caller's, and open.
    public init(_ request: ServiceRequest, store: Int32?, clock: TickClock) throws(SystemError) {
        precondition(!request.strategies.isEmpty, "a service without a strategy")
        self.request = request
        self.store = store
        self.clock = clock
        try StopCounter.install()
        guest = try ServedGuest(pageLimit: request.pageLimit, clock: clock)
        unavailable = Dictionary(
            request.strategies.compactMap { id in
                // Requests are small: what the largest of them takes.
                id.type.unavailability(pinning: PageCount(1 << 12)).map { (id.type.info.name, $0) }
            }, uniquingKeysWith: { first, _ in first })
    }

    /// Why all strategies cannot run here; nil where one can.
    public var unavailability: String? {
        guard unavailable.count == Set(request.strategies).count else { return nil }
        return unavailable.first.map { "\($0.key): \($0.value)" }
    }

    /// Accepts VMMs and serves them until the observer wants it to stop.
    public func run(
        on listener: borrowing StreamListener, watchedBy observer: some ServiceObserver
    ) throws(SystemError) {
        while !observer.shouldStop {
            guard let connection = try listener.accept(milliseconds: 50) else { continue }
            observer.connected()
            let end = try serve(connection, observer)
            observer.disconnected(end)
        }
    }

    private func serve(
        _ connection: consuming StreamSocket, _ observer: some ServiceObserver
    ) throws(SystemError) -> ServiceEnd {
        var setup = ServedSetup(scale: clock.scale)
        setup.store = request.store
        setup.engine = request.settings.engine
        setup.capacityInSectors = request.capacityInSectors
        setup.queueCount = request.queues
        setup.pageLimit = request.pageLimit
        setup.timeout = request.timeout
        setup.isImplicit = request.isImplicit
        setup.records = recording != nil
        let device = try ServedHandle(
            guest, setup, connection: connection, recording: recording, store: store)
        defer { device.process.terminate() }
        let states = PageStates(isImplicit: request.isImplicit, pageLimit: request.pageLimit)
        while true {
            let (strategy, round, position) = place()
            func tell(_ ending: ServedResult.Ending) -> Bool {
                turns += 1
                return observer.finished(
                    ServedResult(
                        strategy: strategy, round: round, position: position, ending: ending))
            }
            if let reason = unavailable[strategy.type.info.name] {
                guard tell(.unavailable(reason)) else { return .stopped }
                continue
            }
            observer.starting(strategy, round: round)
            let turn = ServiceTurn(
                self, device, states, strategy, seed: request.settings.seed &+ UInt64(round))
            let (ending, end) = try turn.run(observer)
            if let ending, !tell(ending) { return .stopped }
            if let end { return end }
        }
    }

    /// What comes next: a strategy, its round and its place there, from 1.
    private func place() -> (StrategyID, round: Int, position: Int) {
        let count = request.strategies.count
        let (round, position) = turns.quotientAndRemainder(dividingBy: count)
        let order = balancedOrder(of: count, turn: request.settings.seed &+ UInt64(round + 1))
        return (request.strategies[order[position]], round + 1, position + 1)
    }
}
