import GuestMemory
import Linux
import Synchronization

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
/// what all held pins ask for. Meanwhile the living neither pin nor unpin (the freeze); conversions go on, since
/// every correction of a word is one addition that leaves at least the living devices' counts in it.
extension CountedCover {
    func recover(
        _ device: DeviceID, arena: Arena, until deadline: Deadline
    ) throws(RecoveryRefusal) -> Int {
        // Before the lock: a recovery that holds it does not wait for this device to come still.
        arena.journal(of: device).isAbandoned = true
        return try arena.coordination.recoveryLock.withLock { () throws(RecoveryRefusal) in
            try recoverLocked(device, arena: arena, until: deadline)
        }
    }

    private func recoverLocked(
        _ device: DeviceID, arena: Arena, until deadline: Deadline
    ) throws(RecoveryRefusal) -> Int {
        let journal = arena.journal(of: device)
        let entries = journal.liveEntries()
        // First what needs no standing still, so that it is done also where the rest is refused.
        for entry in entries where entry.state == .held {
            release(entry.range, words: .max, arena.coordination)
            journal.clear(entry.index)
        }
        let torn = entries.filter { $0.state != .held }
        if !torn.isEmpty {
            do throws(SystemError) {
                try arena.coordination.beginFreeze()
            } catch {
                throw .system(error)
            }
            defer { arena.coordination.thaw() }
            try requireBarrier(on: arena)
            try waitUntilStill(arena: arena, until: deadline)
            let held = (0..<Arena.deviceCapacity).flatMap {
                arena.journal(of: DeviceID($0)).heldPins
            }
            for entry in torn {
                recount(reach(of: entry.range), held: held)
                journal.clear(entry.index)
            }
        }
        journal.isAbandoned = false
        journal.barrierRefusal = 0
        arena.coordination.announceUnpin()
        return entries.count
    }

    /// A freeze is worth nothing with a living device that its barrier does not reach. Looked for once it has begun:
    /// whoever says so later finds it.
    private func requireBarrier(on arena: Arena) throws(RecoveryRefusal) {
        for number in 0..<Arena.deviceCapacity {
            let journal = arena.journal(of: DeviceID(number))
            guard !journal.isAbandoned, journal.barrierRefusal != 0 else { continue }
            throw .system(
                ProcessBarrier.refusal(of: "\(DeviceID(number))", code: journal.barrierRefusal))
        }
    }

    /// Waits until every living device has come out of the pin or unpin it was in when the freeze began. What other
    /// dead ones left torn is their own recovery's to mend.
    private func waitUntilStill(arena: Arena, until deadline: Deadline) throws(RecoveryRefusal) {
        for other in 0..<Arena.deviceCapacity {
            let journal = arena.journal(of: DeviceID(other))
            var backoff = Backoff()
            while !journal.isAbandoned, journal.isMoving {
                if deadline.hasPassed { throw .stillMoving(DeviceID(other)) }
                backoff.pause()
            }
        }
    }

    /// Gives the words of a torn pin the counts of the held pins.
    private func recount(_ range: PageRange, held: [PageRange]) {
        guard Self.isPagewise else { return recountWindow(range, held: held) }
        // A piece at a time, so that the book-keeping stays small whatever the range.
        var start = range.lower
        while start < range.upper {
            let end = min((start / pagesPerLargeEntry + 1) * pagesPerLargeEntry, range.upper)
            let piece = PageRange(start: start, count: end - start)
            recountWindow(piece, held: held.compactMap { $0.intersection(piece) })
            start = end
        }
    }

    private func recountWindow(_ range: PageRange, held: [PageRange]) {
        var expected: [UnsafeMutablePointer<Atomic<UInt64>>: UInt64] = [:]
        _ = forEachWord(range) { counted in
            expected[counted.word] = 0
            return true
        }
        for other in held {
            _ = forEachWord(other) { counted in
                expected[counted.word]? += counted.addend
                return true
            }
        }
        for (word, count) in expected {
            let now = word.pointee.load(ordering: .acquiring) & Self.countBits
            word.pointee.wrappingAdd(count &- now, ordering: .acquiringAndReleasing)
        }
    }
}
