import DmaLinux
import GuestMemory
import PinLock
import Synchronization

/// What a conversion's call takes beside three devices with 126 single pages each, drawn from a GiB, in microseconds: while
/// they hold them still, and while they pin lists of their own anew all the time. And whether one is denied whose page
/// nobody holds.
func conversionTargets() throws -> [Target] {
    var targets: [Target] = []
    func take<Strategy: PinStrategy>(
        _: Strategy.Type, still: Double, moving: Double
    ) throws {
        let name = Strategy.info.name
        let crowd = try Crowd<Strategy>()
        targets.append(
            Target("\(name): conversion, lists held, us", .atMost(still), crowd.beside()))
        targets.append(Target("\(name): denied for nothing, lists held", .atMost(0), crowd.denials))
        guard everywhere.count > 1 else { return }
        targets.append(
            Target(
                "\(name): conversion, lists anew, us", .atMost(moving), try crowd.besidePinning()))
        targets.append(Target("\(name): denied for nothing, anew", .atMost(0.01), crowd.denials))
    }
    try take(PerPage.self, still: 1.5, moving: 10)
    try take(RangeTree.self, still: 1.5, moving: 10)
    try take(Slots.self, still: 1.5, moving: 10)
    try take(Epoch.self, still: 10, moving: 20)
    return targets
}

private final class Crowd<Strategy: PinStrategy> {
    private let strategy: Strategy
    private let devices: [Strategy.Device]
    /// Some in each of the devices' lists, and some of nobody's.
    private var lists: [[PageRange]] = []
    private let free: [PageRange]
    /// Of the last rounds, the share that was denied.
    private(set) var denials: [Double] = []

    init() throws {
        strategy = Strategy(
            arena: try Arena.create(pages: PageCount(pagesPerGiB), entrySize: .small))
        let all = PageRange(start: 0, count: pagesPerGiB)
        _ = try strategy.convert(all, to: .shared, policy: .deny, hooks: .init())
        let strategy = strategy
        devices = (0..<3).map { strategy.pinner(for: DeviceID($0)) }
        let pages = (0..<pagesPerGiB).shuffled().map { PageRange(start: $0, count: 1) }
        // Two lists a device, which take turns.
        lists = (0..<6).map { Array(pages[126 * $0..<126 * ($0 + 1)]) }
        free = Array(pages[126 * 6..<126 * 6 + 500])
    }

    /// The devices hold a list each.
    func beside() -> [Double] {
        let pins = zip(devices, lists).map { (device, list) in (device, try! device.pin(list.span))
        }
        defer { for (device, pin) in pins { device.unpin(pin) } }
        return convert()
    }

    /// A thread pins and unpins for them, one after the other.
    func besidePinning() throws -> [Double] {
        let isOver = Flag()
        let (devices, lists) = (Carried(devices), lists)
        let thread = JoinableThread(
            try WorkerThread(name: "pins") {
                try? Processors.bind(to: everywhere.first!)
                var pins: [Pin?] = [nil, nil, nil]
                var turn = 0
                while !isOver.isSet {
                    let (device, list) = (turn % 3, lists[turn % 6])
                    if let pin = pins[device] { devices.value[device].unpin(pin) }
                    pins[device] = try? devices.value[device].pin(list.span)
                    turn += 1
                }
                for (device, pin) in pins.enumerated() {
                    if let pin { devices.value[device].unpin(pin) }
                }
            })
        defer {
            isOver.set()
            thread.join()
        }
        return convert()
    }

    /// Medians of rounds: each free page to private and back.
    private func convert() -> [Double] {
        denials = []
        return (0..<21).map { _ in
            var times: [Double] = []
            var denied = 0
            for page in free {
                let start = monotonicNanoseconds()
                let result = try? strategy.convert(
                    page, to: .private, policy: .deny, hooks: .init())
                times.append(Double(monotonicNanoseconds() - start) / 1000)
                guard result != nil else {
                    denied += 1
                    continue
                }
                _ = try! strategy.convert(page, to: .shared, policy: .deny, hooks: .init())
            }
            denials.append(Double(denied) / Double(free.count))
            return Ratio.median(of: times.sorted())
        }
    }
}

private final class Flag: Sendable {
    private let word = Atomic<Bool>(false)
    var isSet: Bool { word.load(ordering: .relaxed) }
    func set() { word.store(true, ordering: .relaxed) }
}

/// Used by one thread at a time.
private struct Carried<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
}
