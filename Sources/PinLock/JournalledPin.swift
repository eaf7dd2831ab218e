import GuestMemory
import Synchronization

/// A pin that a journal calls held: what its entry says for as long as it is, and its part in a range.
struct JournalledPin {
    fileprivate let state: UnsafeMutablePointer<Atomic<UInt64>>
    fileprivate let held: UInt64
    let part: PageRange

    /// The entry said that before its range was read, and says it still: the two belong together.
    var isHeld: Bool { state.pointee.load(ordering: .sequentiallyConsistent) == held }
}

// A pointer to an atomic in the arena, whose mapping the arena keeps.
extension JournalledPin: @unchecked Sendable {}

extension Arena {
    /// The held pins of all devices that meet the range, in the order of their pages there: of a list each range that does.
    func heldPins(in range: PageRange) -> [JournalledPin] {
        var pins: [JournalledPin] = []
        for number in 0..<Self.deviceCapacity {
            let journal = journal(of: DeviceID(number))
            for index in 0..<Int(journal.highWater.pointee.load(ordering: .acquiring)) {
                let entry = journal.entry(index)
                let state = entry.state.pointee.load(ordering: .acquiring)
                guard state & 3 == Journal.State.held.rawValue else { continue }
                _ = journal.forEachRange(entry.range.pointee.load(ordering: .acquiring)) { pinned in
                    if let part = pinned.intersection(range) {
                        pins.append(JournalledPin(state: entry.state, held: state, part: part))
                    }
                    return true
                }
            }
        }
        return pins.sorted { $0.part.start < $1.part.start }
    }
}
