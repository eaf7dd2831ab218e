import DmaLinux
import GuestMemory
import PinLock

/// A list of ranges that is pinned, and another that a device beside it pins.
struct Shape {
    let name: String
    let list: [PageRange]
    /// Of the same shape, with no page in common.
    let elsewhere: [PageRange]

    static let pages = PageCount(2 * pagesPerGiB)

    static let all: [Shape] = [
        single("4K", 1), single("64K", 16), single("1G", pagesPerGiB),
        Shape(
            name: "1G, a page off", list: [PageRange(start: 1, count: pagesPerGiB - 1)],
            elsewhere: [PageRange(start: pagesPerGiB + 1, count: pagesPerGiB - 1)]),
        scattered(8), scattered(126), scattered(42, of: 3),
    ]

    private static func single(_ name: String, _ count: UInt64) -> Shape {
        Shape(
            name: name, list: [PageRange(start: 0, count: count)],
            elsewhere: [PageRange(start: pagesPerGiB, count: count)])
    }

    /// Ranges of so many pages in the first GiB, in no order, always the same: every step is prime to their number.
    private static func scattered(_ count: UInt64, of pages: UInt64 = 1) -> Shape {
        func list(from start: UInt64) -> [PageRange] {
            (0..<count).map {
                PageRange(start: (start + $0 * 104_729) % pagesPerGiB, count: pages)
            }
        }
        let name = pages == 1 ? "\(count) pages" : "\(count) x \(pages) pages"
        return Shape(name: name, list: list(from: 0), elsewhere: list(from: 53))
    }
}

/// A row: what a pin and its unpin come to.
struct CountRow: Equatable {
    let strategy: String
    let shape: String
    let values: [UInt64]

    static let columns = [
        "pin_instructions", "unpin_instructions", "locked", "system_calls", "lines_read",
        "lines_written", "lines_shared_same", "lines_shared_elsewhere",
    ]

    var makesSystemCalls: Bool { values[3] != 0 }

    init(strategy: String, shape: String, values: [UInt64]) {
        self.strategy = strategy
        self.shape = shape
        self.values = values
    }

    /// A guest of its own whose memory is all shared, and two devices, one after the other.
    init<Strategy: PinStrategy>(_: Strategy.Type, _ shape: Shape) throws {
        let arena = try Arena.create(pages: Shape.pages, entrySize: .small)
        let strategy = Strategy(arena: arena)
        let all = PageRange(start: 0, count: Shape.pages.rawValue)
        _ = try strategy.convert(all, to: .shared, policy: .deny, hooks: .init())
        let memory = try SharedMapping.create(
            name: "counts-memory", byteCount: Int(Shape.pages.bytes.rawValue))
        let device = try TracedDevice(DeviceID(0), of: strategy, memory: memory, shape.list)
        let same = try TracedDevice(DeviceID(1), of: strategy, memory: memory, shape.list)
        let other = try TracedDevice(DeviceID(2), of: strategy, memory: memory, shape.elsewhere)
        self.init(
            strategy: Strategy.info.name, shape: shape.name,
            values: [
                device.pin.instructions, device.unpin.instructions,
                device.pin.locked + device.unpin.locked,
                device.pin.systemCalls + device.unpin.systemCalls, UInt64(device.read.count),
                UInt64(device.written.count), device.linesShared(with: same),
                device.linesShared(with: other),
            ])
    }
}

extension TracedDevice {
    var read: Set<Int> { pin.read.union(unpin.read) }
    var written: Set<Int> { pin.written.union(unpin.written) }

    /// Lines that this one touches and the other writes: each costs a transfer between their processors.
    fileprivate func linesShared(with other: TracedDevice) -> UInt64 {
        UInt64(read.union(written).intersection(other.written).count)
    }
}
