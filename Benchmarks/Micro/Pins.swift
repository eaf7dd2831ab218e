import Benchmark
import GuestMemory
import PinLock

/// Pin and unpin, and convert to and fro, by every strategy, alone and among 1,000 pins of another device.
///
/// What `none` takes to pin is the calls' own cost: a strategy is called as any caller of the library does it,
/// through the protocol.
func registerPins() {
    for strategy in Registry.all {
        for otherPins: UInt64 in [0, 1000] { register(strategy, otherPins: otherPins) }
    }
}

private func register<Strategy: PinStrategy>(_: Strategy.Type, otherPins: UInt64) {
    let guest = try! Guest<Strategy>(otherPins: otherPins)
    let shapes = [
        ("1G", PageRange(start: 0, count: pagesPerGiB)),
        ("1G misaligned", PageRange(start: 1, count: pagesPerGiB)),
        ("4K", PageRange(start: 0, count: 1)),
    ]
    let suffix = otherPins == 0 ? "" : ", among \(otherPins)"
    for (shape, range) in shapes {
        add("\(Strategy.info.name): pin+unpin \(shape)\(suffix)") { guest.pinAndUnpin(range) }
    }
    for (size, range) in [
        ("4K", PageRange(start: 512, count: 1)), ("2M", PageRange(start: 512, count: 512)),
    ] {
        add("\(Strategy.info.name): convert \(size) to and fro\(suffix)") {
            guest.convertToAndFro(range)
        }
    }
}

/// Repeats what is short a thousand times in each measurement: the clock would be most of it.
private func add(_ name: String, _ body: @escaping () -> Void) {
    body()
    let isShort = ContinuousClock().measure(body) < .microseconds(50)
    Benchmark(name, configuration: .init(scalingFactor: isShort ? .kilo : .one)) { benchmark in
        for _ in benchmark.scaledIterations { body() }
    }
}

/// Two GiB of guest memory, wholly shared.
private final class Guest<Strategy: PinStrategy> {
    private let strategy: Strategy
    private let device: Strategy.Device
    private let others: Strategy.Device

    init(otherPins: UInt64) throws {
        strategy = Strategy(
            arena: try Arena.create(pages: PageCount(2 * pagesPerGiB), entrySize: .small))
        device = strategy.pinner(for: DeviceID(0))
        others = strategy.pinner(for: DeviceID(1))
        _ = try strategy.convert(
            PageRange(start: 0, count: 2 * pagesPerGiB), to: .shared, policy: .deny, hooks: .init())
        // All over the first GiB, but for what is converted: its first 4 MiB.
        for index in 0..<otherPins {
            _ = try others.pin(PageRange(start: index * 261 + 1024, count: 1))
        }
    }

    func pinAndUnpin(_ range: PageRange) { device.unpin(try! device.pin(range)) }

    func convertToAndFro(_ range: PageRange) {
        for state in [PageState.private, .shared] {
            _ = try! strategy.convert(range, to: state, policy: .deny, hooks: .init())
        }
    }
}
