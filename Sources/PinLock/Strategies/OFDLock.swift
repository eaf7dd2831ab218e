import DmaLinux
import GuestMemory
import Synchronization

/// The kernel's own range lock: byte-range locks on a file, a byte per page.
///
/// The idea: a pin is a shared lock (fcntl(2), F_OFD_SETLK) on as many bytes of the arena's file as it has pages; a
/// conversion tries an exclusive one. Each device opens the file anew, so its locks are its own, and go when it goes:
/// there is nothing to repair.
///
/// Why no page is both pinned and private: a conversion closes its pages and then tries its lock; a pin takes its lock
/// and then sees whether the pages are open (the counted tree's open bits, whose counts stay zero). The kernel keeps
/// a file's locks under one spin lock. If the pin was there first, the conversion's try fails. If the conversion was,
/// the spin lock orders the pin's look behind the closing. The try is an attempt to lock, not a question, since the
/// kernel may answer a question without that spin lock (Linux, fs/locks.c, posix_test_lock). Its lock is given back at
/// once: the closed pages keep new pins out.
///
/// Two pins of one device are one lock where they overlap, so the device knows which pages no other pin of its own
/// needs, and unlocks only those.
///
/// Cost: the device pays two system calls per DMA, each linear in the locks there are; a conversion two, and more
/// to name the page that is in its way. Once a device has died its pages may be converted, before any recovery: what
/// the kernel still writes for it is not covered.
///
/// Its precedents: databases that lock pages as bytes of a file (SQLite's shared and reserved bytes, src/os_unix.c); QEMU's
/// image locks, which are open file description locks too (block/file-posix.c).
public struct OFDLock: PinStrategy {
    public static let info = StrategyInfo(
        name: "ofd",
        summary: "open file description locks on the arena, a byte per page",
        isSafe: true,
        cost: "the device: two system calls per DMA; the converter: two",
        policies: [.deny, .wait],
        kernelNeeds: "open file description locks (Linux 3.15) and /proc",
        precedent: "byte-range locks of SQLite (src/os_unix.c) and QEMU (block/file-posix.c)",
        family: .lists, place: 2)

    public static func sectionByteCount(pages: PageCount) -> Int { Forest.byteCount(pages: pages) }
    public static func metadataByteCount(pages: PageCount) -> Int { Forest.byteCount(pages: pages) }

    public let arena: Arena
    private let forest: Forest
    private let locks: Locks

    /// The hypervisor's own description, in a box: a strategy is copied. Once the kernel has refused anything, nobody
    /// can tell any more what is pinned.
    private final class Locks: Sendable {
        private let file: FileRangeLocks?
        private let failure: Mutex<SystemError?>

        init(_ arena: Arena) {
            do throws(SystemError) {
                file = try FileRangeLocks(reopening: arena.mapping.fileDescriptor)
                failure = Mutex(nil)
            } catch {
                file = nil
                failure = Mutex(error)
            }
        }

        /// What `body` finds out. Throws the first refusal there was.
        func ask<Answer>(
            _ body: (borrowing FileRangeLocks) throws(SystemError) -> Answer
        ) throws(SystemError) -> Answer {
            if let failure = failure.withLock({ $0 }) { throw failure }
            do throws(SystemError) {
                return try body(file!)
            } catch {
                failure.withLock { $0 = error }
                throw error
            }
        }
    }

    public init(arena: Arena) {
        self.arena = arena
        forest = Forest(at: arena.section, pages: arena.pages)
        locks = Locks(arena)
    }

    public func pinner(for device: DeviceID) -> Device {
        do throws(SystemError) {
            return try opening(device)
        } catch {
            preconditionFailure("the arena cannot be opened anew: \(error)")
        }
    }

    /// Where a refusal can be told.
    public func pinner(
        for device: DeviceID, in process: DeviceSurroundings
    ) throws(SystemError) -> Device {
        try opening(device)
    }

    private func opening(_ device: DeviceID) throws(SystemError) -> Device {
        let file = try FileRangeLocks(reopening: arena.mapping.fileDescriptor)
        return Device(arena, forest, file, device)
    }

    public final class Device: Pinner {
        private let arena: Arena
        private let forest: Forest
        private let file: FileRangeLocks
        private let journal: JournalWriter
        private var coverage = PinCoverage()
        public private(set) var kernelRefusal: SystemError?

        init(
            _ arena: Arena, _ forest: Forest, _ file: consuming FileRangeLocks, _ device: DeviceID
        ) {
            self.arena = arena
            self.forest = forest
            self.file = file
            journal = JournalWriter(device, in: arena)
        }

        /// A call for each range: the kernel's interface knows no lists.
        public func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
            let pin = try journal.begin(ranges)
            for index in ranges.indices {
                guard let refusal = take(ranges[index]) else { continue }
                for index in 0..<index { release(ranges[index]) }
                journal.end(pin)
                throw refusal
            }
            journal.hold(pin)
            return pin
        }

        /// Locks a range that is open; with nothing locked, why it is not.
        private func take(_ range: PageRange) -> PinRefusal? {
            if let refusal = lock(range) { return refusal }
            coverage.add(range.lower..<range.upper)
            guard let closed = forest.firstClosed(in: range) else { return nil }
            release(range)
            return arena.table.refusal(of: PageRange(start: closed.rawValue, count: 1))
        }

        private func lock(_ range: PageRange) -> PinRefusal? {
            do throws(SystemError) {
                return try file.share(range.lower..<range.upper)
                    ? nil : arena.table.refusal(of: range)
            } catch {
                // The kernel has no room for another lock.
                kernelRefusal = error
                return .tooManyPins(range.start)
            }
        }

        public func unpin(_ pin: Pin) {
            journal.beginRelease(pin)
            _ = journal.forEachRange(of: pin) { range in
                release(range)
                return true
            }
            journal.end(pin)
        }

        /// No release is missed: a converter becomes an onlooker and then tries its lock. If that was before this
        /// unlock, the kernel's spin lock orders the one before the look at it here.
        private func release(_ range: PageRange) {
            coverage.remove(range.lower..<range.upper) { bytes in
                do throws(SystemError) {
                    try file.release(bytes)
                } catch {
                    // The kernel gives back what is left of a process.
                    giveUp("a pin cannot be given back: \(error)")
                }
            }
            arena.coordination.announceUnpin()
        }
    }

    public func close(_ range: PageRange) { forest.close(range) }
    public func open(_ range: PageRange) { forest.open(range) }

    public func search(_ range: PageRange, within nanoseconds: UInt64) -> PinSearch {
        let bytes = range.lower..<range.upper
        let deadline = Deadline.after(nanoseconds: nanoseconds)
        do throws(SystemError) {
            return try locks.ask { file throws(SystemError) in
                while try !file.exclude(bytes) {
                    if let page = try file.firstLocked(in: bytes) { return .pinned(GFN(page)) }
                    // It has been unlocked since; by devices that try again and again it may always be.
                    if deadline.hasPassed { return .incomplete }
                }
                try file.release(bytes)
                return .none
            }
        } catch {
            // The audit says so.
            return .incomplete
        }
    }

    /// The kernel has given the locks back; the journal says how many pins they were.
    public func recover(_ device: DeviceID, until deadline: Deadline) -> Int {
        let journal = arena.journal(of: device)
        let entries = journal.liveEntries()
        for entry in entries { journal.clear(entry.index) }
        arena.coordination.announceUnpin()
        return entries.count
    }

    /// Locked is what the journals call pinned, and nothing between.
    public func audit() throws(SystemError) -> String? {
        var pinned: [PageRange] = []
        arena.forEachListedPin { _, _, range in pinned.append(range) }
        pinned.sort { $0.lower < $1.lower }
        var end: UInt64 = 0
        func firstLocked(_ pages: Range<UInt64>) throws(SystemError) -> UInt64? {
            try locks.ask { file throws(SystemError) in try file.firstLocked(in: pages) }
        }
        for range in pinned {
            if let closed = forest.firstClosed(in: range) {
                return "\(closed) is pinned and closed"
            }
            for page in [range.lower, range.upper - 1]
            where try firstLocked(page..<page + 1) == nil {
                return "\(GFN(page)) is pinned and not locked"
            }
            if range.lower > end, let page = try firstLocked(end..<range.lower) {
                return "\(GFN(page)) is locked and not pinned"
            }
            end = max(end, range.upper)
        }
        if end < arena.pages.rawValue,
            let page = try firstLocked(end..<arena.pages.rawValue)
        {
            return "\(GFN(page)) is locked and not pinned"
        }
        return try forest.auditOpenLanes(arena)
    }
}
