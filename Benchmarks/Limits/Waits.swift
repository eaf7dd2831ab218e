import DmaLinux
import GuestMemory
import PinLock
import Synchronization

/// How soon a conversion that waits for a pin is done once the pin has gone: under every strategy that counts its pins
/// or publishes them, from before the unpin to after the poll that ended the conversion, in microseconds.
func waitTargets() throws -> [Target] {
    guard everywhere.count > 1 else {
        print("(how soon a conversion sees an unpin: that takes two processors)")
        return []
    }
    func target<Strategy: PinStrategy>(_: Strategy.Type) throws -> Target {
        Target("\(Strategy.info.name): unpin to done, us", .atMost(2), try waits(Strategy.self))
    }
    return [
        try target(PerPage.self), try target(PerPageSWAR.self), try target(RangeTree.self),
        try target(Slots.self), try target(Epoch.self), try target(IntervalTreeLock.self),
        try target(MutexList.self),
    ]
}

/// Rounds of 1,001 conversions each, a median a round.
private func waits<Strategy: PinStrategy>(_: Strategy.Type) throws -> Ratio {
    let strategy = Strategy(arena: try Arena.create(pages: PageCount(64), entrySize: .small))
    let range = PageRange(start: 16, count: 16)
    _ = try strategy.convert(range, to: .shared, policy: .deny, hooks: .init())
    let turn = Turn()
    let thread = JoinableThread(
        try WorkerThread(name: "waits") {
            try? Processors.bind(to: everywhere.first!)
            let device = strategy.pinner(for: DeviceID(0))
            while turn.comes(.pin) {
                let pin = try! device.pin(range)
                turn.give(.convert)
                guard turn.comes(.unpin) else { return }
                // The conversion has long been polled in vain by now.
                let pause = Deadline.after(nanoseconds: 5_000)
                while !pause.hasPassed {}
                turn.unpinned.store(monotonicNanoseconds(), ordering: .relaxed)
                device.unpin(pin)
                turn.give(.measure)
            }
        })
    defer {
        turn.give(.end)
        thread.join()
    }
    var medians: [Double] = []
    for _ in 0..<11 {
        var times: [Double] = []
        for _ in 0..<1001 {
            turn.give(.pin)
            _ = turn.comes(.convert)
            let step = try strategy.begin(
                range, to: .private, policy: .wait(until: .never), hooks: .init())
            guard case .pending(var pending) = step else {
                fatalError("\(Strategy.info.name) converted pinned pages")
            }
            turn.give(.unpin)
            while try strategy.poll(&pending, hooks: .init()) == nil {}
            let done = monotonicNanoseconds()
            _ = turn.comes(.measure)
            times.append(Double(done - turn.unpinned.load(ordering: .relaxed)) / 1000)
            _ = try strategy.convert(range, to: .shared, policy: .deny, hooks: .init())
        }
        medians.append(Ratio.median(of: times.sorted()))
    }
    return Ratio(medians, to: Array(repeating: 1, count: medians.count))
}

/// Whose move it is, of two threads on two processors.
private final class Turn: Sendable {
    enum Move: Int { case none, pin, convert, unpin, measure, end }

    private let move = Atomic<Int>(Move.none.rawValue)
    let unpinned = Atomic<UInt64>(0)

    func give(_ next: Move) { move.store(next.rawValue, ordering: .releasing) }

    /// False once all is over.
    func comes(_ awaited: Move) -> Bool {
        while true {
            let now = move.load(ordering: .acquiring)
            if now == awaited.rawValue { return true }
            if now == Move.end.rawValue { return false }
        }
    }
}
