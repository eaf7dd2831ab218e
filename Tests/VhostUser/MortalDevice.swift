import DmaLinux
import DmaStatistics

@testable import VhostUser

/// A guest's driver with a queue of 8 entries, and a device that dies: what it promises is that each request that the
/// guest made available is used once, and that none is done again once it was.
struct MortalDevice {
    /// A device with the decisive line wrong.
    enum Flaw {
        case none
        /// Takes requests out of the log before the used ring's index has passed them.
        case settlesFirst
        /// Notes a request when it is done, not before.
        case beginsLate
        /// Goes on at the used ring's index, as if requests were finished in order.
        case ignoresLog
    }

    /// The death of a device, after so many steps.
    struct Death: Error {}

    let guest: SharedGuest
    let memory: MemoryTable
    let rings: QueueRings
    let log: SharedMapping?
    let flaw: Flaw
    var generator: SplitMix64

    private var stepsToLive = 0
    private var isFree = [Bool](repeating: true, count: 8)
    /// Which request of the guest's each head stands for.
    private var request = [Int](repeating: -1, count: 8)
    private var seen: UInt16 = 0
    private(set) var submitted = 0
    private(set) var returned: [Int: Int] = [:]
    private(set) var complaint: String?

    init(seed: UInt64, hasLog: Bool, flaw: Flaw) throws {
        guest = try SharedGuest()
        var table = MemoryTable()
        try table.add(
            MemoryRegion(guest.region, descriptor: .duplicate(guest.memory.fileDescriptor)))
        memory = table
        rings = try QueueRings(guest.addresses, size: 8, in: table)
        log = hasLog ? try InflightLog.create(queueCount: 1, queueSize: 8) : nil
        self.flaw = flaw
        generator = SplitMix64(seed: seed)
    }

    /// The guest makes up to `count` more requests available, in heads drawn from those that are free.
    mutating func submit(_ count: Int) {
        for _ in 0..<count {
            let free = isFree.indices.filter { isFree[$0] }
            guard !free.isEmpty else { return }
            let head = free[Int(generator.below(UInt64(free.count)))]
            isFree[head] = false
            request[head] = submitted
            submitted += 1
            guest.setAvailable(UInt16(head), at: guest.availableIndex)
            guest.availableIndex &+= 1
        }
    }

    /// The guest takes what was used.
    mutating func takeBack() {
        while seen != guest.usedIndex {
            let head = Int(guest.used(at: seen))
            if isFree[head] { complaint = complaint ?? "head \(head) was used twice" }
            isFree[head] = true
            returned[request[head], default: 0] += 1
            seen &+= 1
        }
    }

    /// One life: what the predecessor left, then what is available, in batches. Throws `Death` after `steps`.
    mutating func live(steps: Int, base: UInt16, inOrder: Bool) throws {
        stepsToLive = steps
        var log = log.map { InflightQueue($0, at: 0, size: 8) }
        let start = try ResumePoint(rings, base: base, in: memory, log: &log)
        var next = flaw == .ignoresLog ? guest.usedIndex : start.next
        var underWay = flaw == .ignoresLog ? [] : start.again
        while true {
            while next != guest.availableIndex, underWay.count < 4 {
                let head = guest.available(at: next)
                next &+= 1
                try step()
                if flaw != .beginsLate { log?.begin(head) }
                try step()
                underWay.append(head)
            }
            if underWay.isEmpty { return }
            try finish(&underWay, &log, inOrder: inOrder)
        }
    }

    private mutating func finish(
        _ underWay: inout [UInt16], _ log: inout InflightQueue?, inOrder: Bool
    ) throws {
        let count = 1 + Int(generator.below(UInt64(underWay.count)))
        var index = guest.usedIndex
        for _ in 0..<count {
            let place = inOrder ? 0 : Int(generator.below(UInt64(underWay.count)))
            let head = underWay.remove(at: place)
            // Here it does what was asked. The guest may have taken the memory for something else.
            if returned[request[Int(head)]] != nil || isFree[Int(head)] {
                complaint =
                    complaint ?? "request \(request[Int(head)]) was done after it had been used"
            }
            try step()
            if flaw == .beginsLate { log?.begin(head) }
            guest.setUsed(head, at: index)
            log?.willPublish(head)
            index &+= 1
            try step()
        }
        if flaw == .settlesFirst { log?.didPublish(usedIndex: index) }
        try step()
        guest.usedIndex = index
        try step()
        if flaw != .settlesFirst { log?.didPublish(usedIndex: index) }
        try step()
    }

    private mutating func step() throws {
        if stepsToLive == 0 { throw Death() }
        stepsToLive -= 1
    }
}
