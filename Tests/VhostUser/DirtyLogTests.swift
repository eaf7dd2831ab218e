import DmaLinux
import Synchronization
import Testing

@testable import VhostUser

@Suite struct DirtyLogTests {
    private func log(_ byteCount: UInt64, offset: UInt64 = 0) throws -> (DirtyLog, SharedMapping) {
        let memory = try SharedMapping.create(name: uniqueName(), byteCount: 8192)
        let log = try DirtyLog(
            LogDescription(byteCount: byteCount, offset: offset),
            descriptor: .duplicate(memory.fileDescriptor))
        return (log, memory)
    }

    private func marked(_ memory: SharedMapping, from offset: Int = 0) -> [UInt64] {
        (0..<UInt64(8 * (memory.byteCount - offset))).filter {
            memory.base.load(fromByteOffset: offset + Int($0 / 8), as: UInt8.self) & 1 << ($0 % 8)
                != 0
        }
    }

    /// Every range of 40 pages, and of bytes at their borders, against the rule of vhost-user.rst for each byte's page.
    @Test func thePagesOfTheBytesAreMarked() throws {
        for first in 0..<40 as Range<UInt64> {
            for last in first..<40 {
                let (log, memory) = try log(5, offset: 3)
                // From the first byte of a page or its last, to the first of one or its last.
                let start = first * 4096 + (first % 2) * 4095
                let end = max(start, last * 4096 + (last % 2) * 4095)
                #expect(log.mark(start, byteCount: end - start + 1))
                #expect(marked(memory, from: 3) == Array(first...last))
            }
        }
    }

    @Test func marksStay() throws {
        let (log, memory) = try log(8192)
        #expect(log.mark(0, byteCount: 4096) && log.mark(4096 * 65_535, byteCount: 4096))
        #expect(log.mark(4096 * 7, byteCount: 2 * 4096) && log.mark(100, byteCount: 0))
        #expect(marked(memory) == [0, 7, 8, 65_535])
    }

    private static let uncovered: [(UInt64, UInt64)] = [
        (163_840, 1), (159_744, 4097), (0, 163_841), (.max, 1), (.max, 2), (0, .max), (1, .max),
        (1 << 44, 4096),
    ]

    /// The log has 40 pages, 163,840 bytes.
    @Test(arguments: uncovered)
    func whatTheLogDoesNotCoverIsNotMarked(address: UInt64, byteCount: UInt64) throws {
        let (log, memory) = try log(5)
        #expect(!log.mark(address, byteCount: byteCount))
        #expect(marked(memory) == [])
    }

    /// Two devices mark pages whose bits share a byte, and a front-end takes bits away: no mark is lost, none comes back.
    ///
    /// They go on until they have met often enough, side by side or where one was interrupted.
    @Test func marksOfOthersAreNotLost() throws {
        let (log, memory) = try log(8192)
        let lost = Counter()
        let rounds = [Counter(), Counter()]
        let threads = try (0..<2).map { page in
            try JoinableThread(
                WorkerThread(name: "marks-\(page)") {
                    // Each marks its page, and takes that bit away again, as the front-end does.
                    let byte = memory.base.assumingMemoryBound(to: Atomic<UInt8>.self)
                    let bit = UInt8(1) << UInt8(page)
                    let (mine, other) = (rounds[page], rounds[1 - page])
                    var (seen, meetings) = (0, 0)
                    while mine.count < 20_000_000, other.count < 20_000_000,
                        meetings < 500 || mine.count < 100_000
                    {
                        _ = log.mark(UInt64(page) * 4096, byteCount: 4096)
                        let before = byte.pointee.bitwiseAnd(~bit, ordering: .relaxed).oldValue
                        let after = byte.pointee.load(ordering: .relaxed)
                        if before & bit == 0 || after & bit != 0 { lost.add() }
                        mine.add()
                        if other.count != seen { (seen, meetings) = (other.count, meetings + 1) }
                    }
                    mine.add(20_000_000)
                })
        }
        for thread in threads { thread.join() }
        #expect(lost.count == 0)
        #expect(marked(memory) == [])
    }

    // MARK: Over the socket

    @Test func logsThatAreNone() throws {
        let memory = try SharedMapping.create(name: uniqueName(), byteCount: 8192)
        func refusal(_ count: UInt64, _ offset: UInt64) throws -> ProtocolError? {
            let session = try Session()
            try session.acknowledgeEverything()
            return try session.refusal(
                of: .setLogBase(LogDescription(byteCount: count, offset: offset)),
                [memory])
        }
        #expect(try refusal(8192, 0) == nil && refusal(1, 8191) == nil)
        for (count, offset) in [
            (UInt64(0), UInt64(0)), (8193, 0), (1, 8192), (8192, 1), (.max, 1), (2, .max),
        ] {
            let log = LogDescription(byteCount: count, offset: offset)
            #expect(try refusal(count, offset) == .log(.longerThanFile(log, 8192)))
        }
        #expect(copies(of: memory) == 1)
    }

    /// As QEMU does when a guest begins to migrate, and ends.
    @Test func aMigrationBeginsAndEnds() throws {
        let guest = try SharedGuest()
        let memory = try SharedMapping.create(name: uniqueName(), byteCount: 4096)
        let session = try Session()
        try session.acknowledgeEverything()
        try session.startQueue(guest)
        try session.ask(.setQueueEnabled(queue: 0, true))
        let features = session.features
        // The front-end waits for an answer, whether it says so or not.
        let log = Request.setLogBase(LogDescription(byteCount: 4096))
        #expect(try session.ask(log, [memory]) == [.dirtyLogChanged])
        #expect(try session.front.reply()?.word == 0)
        #expect(
            try session.ask(.setFeatures(features.union(.logAll))) == [.featuresChanged])
        let logged = QueueAddresses(
            descriptorTable: guest.addresses.descriptorTable, usedRing: guest.addresses.usedRing,
            availableRing: guest.addresses.availableRing, usedRingLog: 0x40_0000)
        #expect(
            try session.ask(.setQueueAddresses(queue: 0, logged)) == [.queueChanged(0)])
        #expect(session.queues[0].addresses?.usedRingLog == 0x40_0000)
        #expect(session.mayServe(0))
        #expect(session.dirtyLog?.mark(SharedGuest.guestStart, byteCount: 1) == true)
        #expect(marked(memory) == [256])
        #expect(try session.ask(.setFeatures(features)) == [.featuresChanged])
        #expect(session.dirtyLog == nil && mappings(of: memory.name) == 1)
    }

    /// QEMU starts queues of a guest that migrates before it sends the log: nothing may be written until it is there.
    @Test func aQueueWaitsForItsLog() throws {
        let guest = try SharedGuest()
        let memory = try SharedMapping.create(name: uniqueName(), byteCount: 4096)
        let session = try Session()
        try session.ask(.setProtocolFeatures(.all))
        try session.ask(.setFeatures([.version1, .logAll]))
        try session.startQueue(guest)
        #expect(!session.mayServe(0))
        try session.ask(
            .setLogBase(LogDescription(byteCount: 4096)), [memory])
        #expect(session.mayServe(0))
    }

    @Test func aLogCoversWhatIsWritten() throws {
        let guest = try SharedGuest()
        let memory = try SharedMapping.create(name: uniqueName(), byteCount: 4096)
        let number = memory
        // Guest memory ends at page 272, which takes 34 bytes.
        let end = SharedGuest.guestStart + guest.byteCount
        func session(_ byteCount: UInt64) throws -> (Session, ProtocolError?) {
            let session = try Session()
            try session.ask(.setProtocolFeatures(.all))
            try session.ask(.setFeatures([.version1, .logAll]))
            try session.startQueue(guest)
            let error = try session.refusal(
                of: .setLogBase(LogDescription(byteCount: byteCount)), [number])
            return (session, error)
        }
        #expect(try session(33).1 == .log(.tooShort(33, guestEnd: end)))
        var (good, error) = try session(34)
        #expect(error == nil)
        // More memory needs a longer log first.
        let more = RegionDescription(
            guestAddress: 1 << 21, byteCount: 4096, userAddress: 1 << 45)
        #expect(
            try good.refusal(of: .addMemoryRegion(more), [number])
                == .log(.tooShort(34, guestEnd: 1 << 21 + 4096)))
        (good, error) = try session(34)
        let logged = QueueAddresses(
            descriptorTable: guest.addresses.descriptorTable, usedRing: guest.addresses.usedRing,
            availableRing: guest.addresses.availableRing, usedRingLog: 272 * 4096 - 69)
        #expect(
            try good.refusal(of: .setQueueAddresses(queue: 0, logged)) == .log(.usedRing(0)))
    }
}

private final class Counter: Sendable {
    private let value = Atomic<Int>(0)
    var count: Int { value.load(ordering: .relaxed) }
    func add(_ count: Int = 1) { value.wrappingAdd(count, ordering: .relaxed) }
}
