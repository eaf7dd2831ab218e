import GuestMemory
import Synchronization

/// Lists of ranges that devices hold by saying so: eight slots a device, each with a list or nothing in it.
///
///     header lines | number lines | lists
///
/// A device has a line of eight *headers*, one a slot: the number of the pin in the upper 53 bits, how many ranges it has in
/// the lower 11. Zero is an empty slot, so a slot is taken and given back by one store, and is never torn: what a dead
/// device has left in one is cleared, and nothing has to be counted again. Beside them lie, on lines that only their device
/// touches, the slots' last *numbers*: each pin has the next, and they go on when the device dies and joins again. So a
/// header names its pin for good, and no unpin takes one for another.
///
/// A slot's *list* is the hull of its ranges, from the lowest page to the highest, and behind it the ranges, each packed as
/// in a journal. Of a single range the hull is the range.
///
/// Why a conversion may read a list while its device writes the next one there: it looks at the header before and
/// afterwards. Every word of a list is stored with release and read with acquire. A word of a later list proves the earlier
/// pin gone: it was stored behind the header's zero, which came behind the last store of the DMA. Then the header is
/// another one, or zero, at the second look. A pin that was there at the first look and is there at the second had its list
/// in place all the time. And whoever comes after the first look finds the range closed, since that was closed before.
struct PublishedPins {
    /// Pins a device can publish at once.
    static let capacity = 8
    private static let slotCount = Arena.deviceCapacity * capacity
    /// The hull, and the ranges.
    private static let listWordCount = 1 + Journal.rangeLimit
    private static let listsOffset = 2 * slotCount
    static let byteCount = (listsOffset + slotCount * listWordCount) * 8

    /// Without the lists, which are touched as pins need them.
    static let headerByteCount = listsOffset * 8

    private static let countBits: UInt64 = 11

    private let base: UnsafeMutablePointer<Atomic<UInt64>>

    init(at base: UnsafeMutableRawPointer) {
        self.base = base.assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    /// The header of the pin of that number: never zero.
    @inline(__always)
    static func header(_ number: UInt64, _ count: Int) -> UInt64 {
        number &<< countBits | UInt64(count)
    }

    @inline(__always)
    private static func rangeCount(_ header: UInt64) -> Int {
        max(1, min(Int(header & (1 << countBits - 1)), Journal.rangeLimit))
    }

    /// Puts a header into its slot by a sequentially consistent exchange: a load of the open bits that is sequentially
    /// consistent, too, comes after it.
    @inline(__always)
    static func publish(_ header: UInt64, in slot: borrowing Atomic<UInt64>) {
        _ = slot.exchange(header, ordering: .sequentiallyConsistent)
    }

    /// The first of the device's headers; the others follow.
    func slots(of device: DeviceID) -> UnsafeMutablePointer<Atomic<UInt64>> {
        base + device.rawValue * Self.capacity
    }

    /// The numbers of the pins that the device's slots had last. Written by the device alone.
    func numbers(of device: DeviceID) -> UnsafeMutablePointer<Atomic<UInt64>> {
        slots(of: device) + Self.slotCount
    }

    /// The hull of what is in the device's first slot, and the ranges behind it; those of the next slot are `stride` words on.
    func lists(of device: DeviceID) -> UnsafeMutablePointer<Atomic<UInt64>> {
        list(device.rawValue * Self.capacity)
    }
    static var stride: Int { listWordCount }

    private func list(_ slot: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        base + Self.listsOffset + slot * Self.listWordCount
    }

    /// Writes a list of one range down, in a slot that is empty.
    @inline(__always)
    static func write(_ range: PageRange, to list: UnsafeMutablePointer<Atomic<UInt64>>) {
        list[0].store(Journal.pack(range), ordering: .releasing)
    }

    /// Writes a list of several ranges down, in a slot that is empty; returns its hull.
    @inline(__always)
    static func write(
        _ ranges: Span<PageRange>, to list: UnsafeMutablePointer<Atomic<UInt64>>,
        within pages: PageCount
    ) throws(PinRefusal) -> PageRange {
        let hull = try Journal.write(ranges, to: list + 1, within: pages)
        list[0].store(Journal.pack(hull), ordering: .releasing)
        return hull
    }

    /// What the device has published, whether or not it has found it open.
    func ranges(of device: DeviceID) -> [PageRange] {
        (0..<Self.capacity).flatMap { slot -> [PageRange] in
            let header = slots(of: device)[slot].load(ordering: .acquiring)
            guard header != 0 else { return [] }
            let list = list(device.rawValue * Self.capacity + slot)
            let count = Self.rangeCount(header)
            let words = count == 1 ? 0...0 : 1...count
            return words.map { Journal.unpack(list[$0].load(ordering: .acquiring)) }
        }
    }

    /// How many of the device's slots are taken.
    func pinCount(of device: DeviceID) -> Int {
        (0..<Self.capacity).count { slots(of: device)[$0].load(ordering: .acquiring) != 0 }
    }

    /// The lowest page of the range that a device has published, and still has. To be called behind a barrier that comes
    /// behind the closing of the range.
    func firstPinned(in range: PageRange) -> GFN? {
        var lowest: GFN?
        for slot in 0..<Self.slotCount {
            let header = base[slot].load(ordering: .sequentiallyConsistent)
            guard header != 0, let met = firstPinned(in: range, list(slot), header),
                // All that was read is older than this look.
                base[slot].load(ordering: .sequentiallyConsistent) == header
            else { continue }
            lowest = min(lowest ?? met, met)
        }
        return lowest
    }

    /// The lowest page of the range that is in a list.
    private func firstPinned(
        in range: PageRange, _ list: UnsafeMutablePointer<Atomic<UInt64>>, _ header: UInt64
    ) -> GFN? {
        let hull = Journal.unpack(list[0].load(ordering: .acquiring))
        guard let part = hull.intersection(range) else { return nil }
        let count = Self.rangeCount(header)
        if count == 1 { return part.start }
        var lowest: GFN?
        for index in 1...count {
            let pinned = Journal.unpack(list[index].load(ordering: .acquiring))
            guard let met = pinned.intersection(range) else { continue }
            lowest = min(lowest ?? met.start, met.start)
        }
        return lowest
    }

    /// Takes a dead device's pins back; returns how many there were.
    func clear(_ device: DeviceID) -> Int {
        (0..<Self.capacity).count {
            slots(of: device)[$0].exchange(0, ordering: .sequentiallyConsistent) != 0
        }
    }
}

// A pointer to atomics in the arena, whose mapping the arena keeps.
extension PublishedPins: @unchecked Sendable {}
