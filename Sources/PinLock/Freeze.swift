import DmaLinux
import GuestMemory

// Devices stand still for a moment, so that somebody can tell what counts there ought to be.
//
// A freeze is short: no more is done in it than to read the journals and to set right as many counts as `Recount` has
// for one. Who needs more, freezes again. Between two freezes everybody who waited is let through: a device says that
// it waits, and until it says no more that it does, no other freeze begins. So it waits for one, however many there are;
// and for what it came too late to say, the end of the one before.
extension Arena {
    /// Keeps devices from pins and unpins while `body` runs, which has to wait for those that are inside one.
    func whileFrozen(
        until deadline: Deadline, _ body: () throws(RecoveryRefusal) -> Void
    ) throws(RecoveryRefusal) {
        try letThrough(until: deadline)
        do throws(SystemError) {
            try coordination.beginFreeze()
        } catch {
            throw .system(error)
        }
        defer { coordination.thaw() }
        try requireBarrier()
        try body()
    }

    /// Waits for the living that have waited for the last freeze to end, until they have come past it.
    private func letThrough(until deadline: Deadline) throws(RecoveryRefusal) {
        try forEachJournal { (device, journal) throws(RecoveryRefusal) in
            var backoff = Backoff()
            while journal.isWaiting, !journal.isAbandoned {
                if deadline.hasPassed { throw .stillMoving(device) }
                backoff.pause()
            }
        }
    }

    /// A freeze is worth nothing with a living device that its barrier does not reach. Looked for once it has begun:
    /// whoever says so later finds it.
    private func requireBarrier() throws(RecoveryRefusal) {
        try forEachJournal { (device, journal) throws(RecoveryRefusal) in
            guard !journal.isAbandoned, journal.barrierRefusal != 0 else { return }
            throw .system(ProcessBarrier.refusal(of: "\(device)", code: journal.barrierRefusal))
        }
    }

    /// Calls `body` with every range of all pins that are held, of all devices. In a freeze: waits for each living
    /// device until it has come out of the pin or unpin that it was in when the freeze began. What dead ones have left
    /// torn is not held.
    ///
    /// Each entry is read once. A living device that is not inside anything can change it for a moment only, to say what
    /// it would do and then to take that back: to `intent` where it was free, to `releasing` where it was held. Both are
    /// waited out here, so the entry is read as what it is.
    func forEachHeldPin(
        until deadline: Deadline, _ body: (PageRange) -> Void
    ) throws(RecoveryRefusal) {
        try forEachJournal { (device, journal) throws(RecoveryRefusal) in
            for index in 0..<Int(journal.highWater.pointee.load(ordering: .acquiring)) {
                let entry = journal.entry(index)
                var backoff = Backoff()
                var state = entry.state.pointee.load(ordering: .acquiring) & 3
                while state == Journal.State.intent.rawValue
                    || state == Journal.State.releasing.rawValue, !journal.isAbandoned
                {
                    if deadline.hasPassed { throw .stillMoving(device) }
                    backoff.pause()
                    state = entry.state.pointee.load(ordering: .acquiring) & 3
                }
                guard state == Journal.State.held.rawValue else { continue }
                _ = journal.forEachRange(entry.range.pointee.load(ordering: .relaxed)) { range in
                    body(range)
                    return true
                }
            }
        }
    }

    private func forEachJournal(
        _ body: (DeviceID, Journal) throws(RecoveryRefusal) -> Void
    ) throws(RecoveryRefusal) {
        for number in 0..<Self.deviceCapacity {
            let device = DeviceID(number)
            try body(device, journal(of: device))
        }
    }
}
