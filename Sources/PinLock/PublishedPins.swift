import GuestMemory
import Synchronization

/// Pins that devices hold by saying so: a cache line per device, eight slots in it, a range or nothing in each.
///
/// A slot is a journal entry and a lock in one: it says who holds what, in one word and so in one step. It is never
/// torn; what a dead device has left in one is cleared, and nothing has to be counted again.
///
/// Beside the slots, on lines that only their devices touch, lies a number for each: it moves with every pin, and goes
/// on when the device dies and joins again. So a number names its pin for good, and no unpin takes one for another.
///
/// A slot's word has the range's last frame in the upper half, and the complement of its first in the lower. Untouched
/// memory would be the range from the last frame of all to the first, which is none.
struct PublishedPins {
    /// Pins a device can publish at once.
    static let capacity = 8
    static let byteCount = 2 * slotCount * 8
    private static let slotCount = Arena.deviceCapacity * capacity

    private let base: UnsafeMutablePointer<Atomic<UInt64>>

    init(at base: UnsafeMutableRawPointer) {
        self.base = base.assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    @inline(__always)
    static func pack(_ range: PageRange) -> UInt64 {
        (range.upper &- 1) &<< 32 | (range.lower ^ 0xffff_ffff)
    }

    /// Puts a packed range into a slot by a sequentially consistent exchange: a load of the open bits that is
    /// sequentially consistent, too, comes after it.
    @inline(__always)
    static func publish(_ word: UInt64, in slot: borrowing Atomic<UInt64>) {
        _ = slot.exchange(word, ordering: .sequentiallyConsistent)
    }

    private static func unpack(_ word: UInt64) -> PageRange? {
        let lower = (word & 0xffff_ffff) ^ 0xffff_ffff
        let upper = (word >> 32) + 1
        return word == 0 ? nil : PageRange(start: lower, count: upper - lower)
    }

    /// The first of the device's slots; the others follow.
    func slots(of device: DeviceID) -> UnsafeMutablePointer<Atomic<UInt64>> {
        base + device.rawValue * Self.capacity
    }

    /// The numbers of the pins that the device's slots had last. Written by the device alone.
    func tickets(of device: DeviceID) -> UnsafeMutablePointer<Atomic<UInt64>> {
        slots(of: device) + Self.slotCount
    }

    /// What the device has published, whether or not it has found it open.
    func ranges(of device: DeviceID) -> [PageRange] {
        (0..<Self.capacity).compactMap {
            Self.unpack(slots(of: device)[$0].load(ordering: .acquiring))
        }
    }

    /// The lowest page of the range that a device has published, read with sequential consistency.
    func firstPinned(in range: PageRange) -> GFN? {
        var lowest: GFN?
        for slot in 0..<Self.slotCount {
            let word = base[slot].load(ordering: .sequentiallyConsistent)
            guard let pinned = Self.unpack(word)?.intersection(range) else { continue }
            lowest = min(lowest ?? pinned.start, pinned.start)
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
