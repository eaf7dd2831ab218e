import DmaLinux
import GuestMemory
import PinLock
import Synchronization

/// How long the recovery of a device that died in a pin of all guest memory takes, and how long it makes a living device
/// wait for a pin and an unpin of one page: under every strategy that counts pins, among many pins that are held.
func deathTargets() throws -> [Target] {
    func targets<Strategy: PinStrategy>(_: Strategy.Type) throws -> [Target] {
        let name = Strategy.info.name
        let small = try deaths(Strategy.self, gibs: 64, holders: 1)
        let large = try deaths(Strategy.self, gibs: 256, holders: 4)
        return [
            Target("\(name): a death, 64 GiB, wait, ms", .atMost(20), small.waits),
            Target("\(name): a death, 64 GiB, recovery, s", .atMost(2), small.recoveries),
            Target("\(name): a death, 256 GiB, wait, ms", .atMost(20), large.waits),
        ]
    }
    return try targets(PerPage.self) + targets(PerPageSWAR.self) + targets(RangeTree.self)
        + targets(Slots.self) + targets(LongLived.self) + targets(PinCache.self)
}

private let victim = DeviceID(0)
private let pinsOfEach: UInt64 = 60_000

/// Five deaths, beside so many devices with 60,000 pins each.
private func deaths<Strategy: PinStrategy>(
    _: Strategy.Type, gibs: UInt64, holders: UInt64
) throws -> (waits: Ratio, recoveries: Ratio) {
    let guest = PageRange(start: 0, count: gibs * pagesPerGiB)
    let strategy = Strategy(
        arena: try Arena.create(pages: PageCount(guest.upper), entrySize: .small))
    _ = try strategy.convert(guest, to: .shared, policy: .deny, hooks: .init())
    let devices = (1...Int(holders)).map { strategy.pinner(for: DeviceID($0)) }
    let step = guest.upper / (pinsOfEach * holders)
    for index in 0..<pinsOfEach * holders {
        _ = try devices[Int(index % holders)].pin(PageRange(start: index * step, count: 3))
    }
    let watch = Watch()
    let thread = JoinableThread(
        try WorkerThread(name: "living") {
            try? Processors.bind(to: everywhere.first!)
            try! watch.run(strategy)
        })
    defer {
        watch.end()
        thread.join()
    }
    var waits: [Double] = []
    var recoveries: [Double] = []
    for _ in 0..<5 {
        try killInAPin(Strategy.self, strategy.arena)
        watch.startOver()
        let start = monotonicNanoseconds()
        _ = try strategy.recover(victim, until: .never)
        recoveries.append(Double(monotonicNanoseconds() - start) / 1e9)
        waits.append(Double(watch.longest()) / 1e6)
    }
    withExtendedLifetime(devices) {}
    let ones = Array(repeating: 1.0, count: waits.count)
    return (Ratio(waits, to: ones), Ratio(recoveries, to: ones))
}

/// A device that pins and unpins one page, and knows how long it took at most.
private final class Watch: Sendable {
    private let most = Atomic<UInt64>(0)
    private let pairs = Atomic<UInt64>(0)
    private let isOver = Atomic(false)

    func run(_ strategy: some PinStrategy) throws {
        let device = strategy.pinner(for: DeviceID(Arena.deviceCapacity - 1))
        let page = PageRange(start: 1, count: 1)
        while !isOver.load(ordering: .relaxed) {
            let start = monotonicNanoseconds()
            device.unpin(try device.pin(page))
            most.max(monotonicNanoseconds() - start, ordering: .relaxed)
            pairs.add(1, ordering: .releasing)
        }
    }

    /// In nanoseconds, that of the pair under way among them.
    func longest() -> UInt64 {
        let now = pairs.load(ordering: .acquiring)
        while pairs.load(ordering: .acquiring) == now {}
        return most.load(ordering: .relaxed)
    }
    func startOver() { most.store(0, ordering: .relaxed) }
    func end() { isOver.store(true, ordering: .relaxed) }
}

/// Starts a device that does nothing but pin and unpin all of the guest, and kills it when it has begun.
private func killInAPin<Strategy: PinStrategy>(_: Strategy.Type, _ arena: Arena) throws {
    let before = arena.livePins
    let child = try ChildProcess(
        arguments: ["Limits", Victim.argument, Strategy.info.name],
        descriptors: [arena.mapping.fileDescriptor])
    while arena.livePins < before + Victim.smallPins {}
    sleep(until: .after(milliseconds: 20))
    _ = child.terminate()
}

/// What the process does that dies.
enum Victim {
    static let argument = "--pin-until-killed"
    /// Under `slots`, so many pins are not counted, and never torn.
    static let smallPins = 8

    static func pinUntilKilled(under name: String) throws {
        func run<Strategy: PinStrategy>(_: Strategy.Type) throws {
            let strategy = Strategy(
                arena: try Arena(
                    attaching: try SharedMapping(mapping: FileDescriptor(owning: 3), name: "arena"))
            )
            let device = strategy.pinner(for: victim)
            for page in 0..<UInt64(smallPins) {
                _ = try device.pin(PageRange(start: page, count: 1))
            }
            // A page off at both ends: a tree, too, has that in many words.
            let guest = PageRange(start: 1, count: strategy.arena.pages.rawValue - 2)
            while true { device.unpin(try device.pin(guest)) }
        }
        try run(Registry.strategy(named: name)!)
    }
}
