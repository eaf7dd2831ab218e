import DmaLinux
import DmaWriter
import GuestMemory
import PinLock
import Settings

/// What a turn's faults came to: plain data for the control socket.
public struct FaultTotals: BitwiseCopyable, Sendable {
    public var count: UInt64 = 0
    /// Bytes of requests that were given up.
    public var lostBytes: UInt64 = 0
    /// From a fault until the write went on or the request was given up, in nanoseconds.
    public var recoveryNanoseconds: UInt64 = 0
    public var longestRecoveryNanoseconds: UInt64 = 0
    /// The first page of all that faulted, and in which request.
    public var firstGFN: UInt64 = 0
    public var firstGeneration: UInt64 = 0

    public init() {}

    /// Adds another device's; the first fault is the one that is there already.
    public mutating func add(_ other: FaultTotals) {
        if count == 0 { (firstGFN, firstGeneration) = (other.firstGFN, other.firstGeneration) }
        count += other.count
        lostBytes += other.lostBytes
        recoveryNanoseconds += other.recoveryNanoseconds
        longestRecoveryNanoseconds = max(
            longestRecoveryNanoseconds, other.longestRecoveryNanoseconds)
    }
}

/// Writes memory whose pages may be protected under the write, and deals with the faults.
struct FaultRecovery {
    /// Nil where a fault is a violation by a strategy that should have kept the page: the request fails.
    private let policy: FaultPolicy?
    private let table: RMPTable
    private let hypervisor: Int32
    /// For how long after its first fault a request goes on trying, in nanoseconds.
    private let timeout: UInt64
    private(set) var totals = FaultTotals()
    private var deadline: Deadline?

    init(policy: FaultPolicy?, table: RMPTable, hypervisor: Int32, timeout: UInt64) {
        self.policy = policy
        self.table = table
        self.hypervisor = hypervisor
        self.timeout = timeout
    }

    /// To be called before the first write of a request.
    mutating func start() { deadline = nil }

    /// Writes the bytes, which lie at `address` for the guest, going on after each fault as the policy says. Returns how
    /// many were written without a gap: all, or those before a page that the request is given up at.
    mutating func write(
        _ bytes: UnsafeMutableRawBufferPointer, at address: UInt64, by writer: DmaWriter,
        _ stamp: Stamp
    ) -> UInt64 {
        var done = 0
        while true {
            done += writer.write(
                UnsafeMutableRawBufferPointer(rebasing: bytes[done...]), stamp: stamp)
            guard done < bytes.count else { return UInt64(done) }
            let page = GFN((address + UInt64(done)) / pageSize)
            guard recover(page, generation: UInt64(stamp.generation)) else {
                return UInt64(done)
            }
        }
    }

    /// The request is given up with so many bytes unwritten.
    mutating func giveUp(lostBytes: UInt64) { totals.lostBytes += lostBytes }

    /// Whether the write may go on at the page.
    private mutating func recover(_ page: GFN, generation: UInt64) -> Bool {
        let start = monotonicNanoseconds()
        if totals.count == 0 {
            (totals.firstGFN, totals.firstGeneration) = (page.rawValue, generation)
        }
        totals.count += 1
        let deadline = deadline ?? .after(nanoseconds: timeout)
        self.deadline = deadline
        let canGoOn =
            switch policy {
            case nil, .abort: false
            case .retry: waitUntilShared(page, deadline)
            case .convertBack: takeBack(page, deadline)
            }
        let time = monotonicNanoseconds() - start
        totals.recoveryNanoseconds += time
        totals.longestRecoveryNanoseconds = max(totals.longestRecoveryNanoseconds, time)
        return canGoOn && !deadline.hasPassed
    }

    /// Shared, with no conversion under way, means writable here: a page is protected after its claim and before the
    /// commit to private, and no longer once it is shared.
    private func waitUntilShared(_ page: GFN, _ deadline: Deadline) -> Bool {
        wait(until: deadline) { table.isOpen(page) }
    }

    /// Asks until the page is given. It is refused while it is being converted, perhaps to private.
    private func takeBack(_ page: GFN, _ deadline: Deadline) -> Bool {
        wait(until: deadline) { askForPage(page) }
    }

    private func wait(until deadline: Deadline, for condition: () -> Bool) -> Bool {
        var backoff = Backoff()
        while !condition() {
            if deadline.hasPassed { return false }
            backoff.pause()
        }
        return true
    }

    private func askForPage(_ page: GFN) -> Bool {
        var isShared = false
        do throws(SystemError) {
            guard try PacketSocket.send(PageRequest(gfn: page), to: hypervisor),
                try PacketSocket.receive(&isShared, from: hypervisor)
            else { return false }
            return isShared
        } catch {
            DmaLinux.giveUp("a page that was faulted on cannot be asked for: \(error)")
        }
    }
}
