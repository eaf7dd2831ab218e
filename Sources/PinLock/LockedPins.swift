import DmaLinux
import GuestMemory
import Synchronization

/// Where the ranges of pins are looked up, by whoever holds the mutex over them.
///
/// The pins themselves are the entries of the journals. A pin is *listed* while its entry says `held` or `releasing`.
protocol PinIndex: Sendable {
    /// Bytes of the section it takes beside the mutex.
    static var byteCount: Int { get }

    init(at base: UnsafeMutableRawPointer, arena: Arena)

    /// The pin of that journal entry is about to be listed, or is no longer to be.
    func insert(_ entry: Int, of device: DeviceID)
    func remove(_ entry: Int, of device: DeviceID)

    /// The lowest page of the range that a listed pin has.
    func firstPinned(in range: PageRange) -> GFN?

    /// Makes the index what the journals say, whatever it is now.
    func rebuild()

    /// The first disagreement with the journals, in words.
    func audit() -> String?
}

/// Pins under one mutex: a pin looks at the pages' state and lists its range, as one step for everybody else.
///
/// Which pages are open to pins is asked of the counted tree's open bits (`Forest`), which conversions set and clear
/// without the mutex; its counts stay zero. So what a strategy costs here is the cost of its mutex and its index.
///
/// Why no page is both pinned and private: a conversion closes its pages and then looks for pins under the mutex. A
/// pin that had the mutex before is listed, and the conversion finds it. One that has it after sees the pages
/// closed, since the mutex orders it behind the closing. No fence but the mutex is needed.
///
/// A device may die with the mutex in hand. The journals are readable after any prefix of a pin or an unpin, since an
/// entry becomes listed, or not, by one store, after the index was changed; the next owner makes the index anew from
/// them. A dead device's pins stay listed until its recovery, those it was giving back as well.
struct LockedPins<Index: PinIndex>: Sendable {
    let arena: Arena
    let forest: Forest
    let mutex: RobustMutex
    let index: Index

    /// Section layout: forest | mutex, alone on a line | index.
    static func sectionByteCount(pages: PageCount) -> Int {
        Forest.byteCount(pages: pages) + RobustMutex.byteCount + Index.byteCount
    }

    init(arena: Arena) {
        self.arena = arena
        forest = Forest(at: arena.section, pages: arena.pages)
        let base = arena.section + Forest.byteCount(pages: arena.pages)
        let index = Index(at: base + RobustMutex.byteCount, arena: arena)
        mutex = RobustMutex(at: base) { index.rebuild() }
        self.index = index
    }

    func journal(of device: DeviceID) -> JournalWriter {
        JournalWriter(device, in: arena)
    }

    // MARK: Devices

    @inline(__always)
    func pin(_ ranges: Span<PageRange>, _ journal: JournalWriter) throws(PinRefusal) -> Pin {
        let pin = try journal.begin(ranges)
        journal.isAtMutex = true
        defer { journal.isAtMutex = false }
        let closed = mutex.withLock { () -> GFN? in
            var closed: GFN?
            _ = journal.forEachRange(of: pin) { range in
                if forest.isOpen(range) { return true }
                closed = forest.firstClosed(in: range)
                return closed == nil
            }
            guard closed == nil else {
                journal.end(pin)
                return closed
            }
            index.insert(pin.entry, of: pin.device)
            journal.hold(pin)
            return nil
        }
        guard let closed else { return pin }
        throw arena.table.refusal(of: PageRange(start: closed.rawValue, count: 1))
    }

    /// No release is missed: a converter becomes an onlooker and then looks under the mutex. If that was before this
    /// unpin had it, the onlooker is seen here; if after, the pin is not listed any more.
    @inline(__always)
    func unpin(_ pin: Pin, _ journal: JournalWriter) {
        journal.beginRelease(pin)
        journal.isAtMutex = true
        mutex.withLock {
            index.remove(pin.entry, of: pin.device)
            journal.end(pin)
        }
        journal.isAtMutex = false
        arena.coordination.announceUnpin()
    }

    // MARK: The hypervisor

    /// Bounded, whoever holds the mutex and for how long.
    func search(_ range: PageRange, within nanoseconds: UInt64) -> PinSearch {
        mutex.withLock(until: .after(nanoseconds: nanoseconds)) {
            PinSearch(index.firstPinned(in: range))
        } ?? .incomplete
    }

    /// Pin by pin, so that whoever waits for the mutex waits for one of them. If the device died with it in hand, the
    /// index is made anew before the first, here or by whoever came before.
    func recover(_ device: DeviceID, until deadline: Deadline) throws(RecoveryRefusal) -> Int {
        let journal = arena.journal(of: device)
        journal.isAtMutex = false
        // Told of also where the rest is refused.
        defer { arena.coordination.announceUnpin() }
        let entries = journal.liveEntries()
        for entry in entries {
            let isDone: Void? = mutex.withLock(until: deadline) {
                if entry.state != .intent { index.remove(entry.index, of: device) }
                journal.clear(entry.index)
            }
            guard isDone != nil else { throw .stillMoving(firstAtMutex() ?? device) }
        }
        return entries.count
    }

    /// Whoever holds the mutex is among those that are at it; so are those that wait for it.
    private func firstAtMutex() -> DeviceID? {
        (0..<Arena.deviceCapacity).map(DeviceID.init).first { arena.journal(of: $0).isAtMutex }
    }

    func audit() throws(SystemError) -> String? {
        var complaint: String?
        arena.forEachListedPin { device, _, range in
            if let page = forest.firstClosed(in: range) {
                complaint = complaint ?? "\(device) has pinned \(page), which is closed"
            }
        }
        if let complaint = complaint ?? index.audit() { return complaint }
        return try forest.auditOpenLanes(arena)
    }
}

extension Arena {
    /// Calls `body` with every listed pin: the journal, and the entry in it.
    func forEachListedEntry(_ body: (_ journal: Journal, _ entry: Int) -> Void) {
        for number in 0..<Self.deviceCapacity {
            let journal = journal(of: DeviceID(number))
            for index in 0..<Int(journal.highWater.pointee.load(ordering: .acquiring)) {
                let state = journal.entry(index).state.pointee.load(ordering: .acquiring) & 3
                guard
                    state == Journal.State.held.rawValue
                        || state == Journal.State.releasing.rawValue
                else { continue }
                body(journal, index)
            }
        }
    }

    /// Calls `body` with each range of every listed pin: the device, the entry in its journal, the range.
    func forEachListedPin(_ body: (_ device: DeviceID, _ entry: Int, _ range: PageRange) -> Void) {
        forEachListedEntry { journal, entry in
            _ = journal.forEachRange(journal.entry(entry).range.pointee.load(ordering: .relaxed)) {
                body(journal.device, entry, $0)
                return true
            }
        }
    }
}
