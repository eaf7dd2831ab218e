import DmaLinux
import GuestMemory

extension PinStrategy {
    /// Recovers devices that have died, each within so many milliseconds; throws the last refusal, once all were tried.
    ///
    /// All are known to be dead before the first recovery begins: one does not wait for another to come out of a pin.
    public func recover(
        _ dead: [DeviceID], eachWithin milliseconds: UInt64
    ) throws(RecoveryRefusal) {
        for device in dead { arena.journal(of: device).isAbandoned = true }
        var refusal: RecoveryRefusal?
        for device in dead {
            do throws(RecoveryRefusal) {
                _ = try recover(device, until: .after(milliseconds: milliseconds))
                arena.journal(of: device).isAbandoned = false
            } catch {
                refusal = error
            }
        }
        if let refusal { throw refusal }
    }
}

/// Taking back the pins of a device that has died.
///
/// A pin that the journal calls `held` has all its counts in place: they are taken back, one by one. One that the
/// device was in the middle of taking or giving back has left some: the words it may have touched get the sum of
/// what all held pins ask for (`Recount`). For that the living neither pin nor unpin, in a freeze for each piece of the
/// pin's range; conversions go on, since every correction of a word is one addition that leaves at least the living
/// devices' counts in it.
extension CountedCover {
    func recover(
        _ device: DeviceID, arena: Arena, until deadline: Deadline
    ) throws(RecoveryRefusal) -> Int {
        // Before the lock: a recovery that holds it does not wait for this device to come still.
        arena.journal(of: device).isAbandoned = true
        let count = try arena.coordination.recoveryLock.withLock(until: deadline) {
            () throws(RecoveryRefusal) in
            try recoverLocked(device, arena: arena, until: deadline)
        }
        guard let count else { throw .outOfTime(device) }
        return count
    }

    private func recoverLocked(
        _ device: DeviceID, arena: Arena, until deadline: Deadline
    ) throws(RecoveryRefusal) -> Int {
        let journal = arena.journal(of: device)
        let entries = journal.liveEntries()
        // Told of also where the rest is refused.
        defer { arena.coordination.announceUnpin() }
        // First what needs no standing still, so that it is done also where the rest is refused.
        for entry in entries where entry.state == .held {
            for range in entry.ranges { release(range, words: .max) }
            journal.clear(entry.index)
        }
        for entry in entries where entry.state != .held {
            var left = entry.ranges.map(reach)
            while let range = left.popLast() {
                if let rest = try recount(range, in: arena, until: deadline) { left.append(rest) }
                guard !left.isEmpty else { break }
                // Right is what held pins ask for, whatever comes after it: a piece is done once and for all.
                journal.shorten(entry.index, to: left)
                if deadline.hasPassed { throw .outOfTime(device) }
            }
            journal.clear(entry.index)
        }
        journal.isAbandoned = false
        journal.isWaiting = false
        journal.barrierRefusal = 0
        return entries.count
    }
}
