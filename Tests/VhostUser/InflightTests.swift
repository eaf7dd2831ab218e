import DmaLinux
import Testing

@testable import VhostUser

@Suite struct InflightTests {
    private func mapping(queues: Int = 1, size: Int = 8) throws -> SharedMapping {
        try InflightLog.create(queueCount: queues, queueSize: size)
    }

    private func log(_ mapping: SharedMapping, size: Int = 8) -> InflightQueue {
        InflightQueue(mapping, at: 0, size: size)
    }

    /// QueueRegionSplit and DescStateSplit of vhost-user.rst, by hand.
    @Test func theLayoutIsThatOfTheSpecification() throws {
        let memory = try mapping()
        var log = log(memory)
        let fresh = try log.recover(usedIndex: 0x0102)
        #expect(fresh == nil)
        func bytes(_ range: Range<Int>) -> [UInt8] {
            range.map { memory.base.load(fromByteOffset: $0, as: UInt8.self) }
        }
        #expect(bytes(0..<16) == [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 0, 0, 2, 1])
        log.begin(5)
        log.begin(2)
        #expect(bytes(48..<64) == [1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0])
        #expect(bytes(96..<112) == [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        log.willPublish(5)
        log.willPublish(2)
        // The last batch: 2, and behind it 5.
        #expect(bytes(12..<14) == [2, 0] && bytes(54..<56) == [5, 0])
        log.didPublish(usedIndex: 0x0104)
        #expect(bytes(14..<16) == [4, 1] && bytes(48..<49) == [0] && bytes(96..<97) == [0])
    }

    @Test func requestsComeBackInTheOrderOfTheirFetching() throws {
        let memory = try mapping()
        do {
            var log = log(memory)
            _ = try log.recover(usedIndex: 0)
            for head: UInt16 in [6, 1, 4, 0, 7] { log.begin(head) }
            log.willPublish(4)
            log.didPublish(usedIndex: 1)
        }
        for _ in 0..<2 {
            var log = log(memory)
            let left = try log.recover(usedIndex: 1)
            #expect(left == [6, 1, 0, 7])
            // What comes later is later, in this life and in the next.
        }
        var last = log(memory)
        _ = try last.recover(usedIndex: 1)
        last.begin(4)
        var next = log(memory)
        let left = try next.recover(usedIndex: 1)
        #expect(left == [6, 1, 0, 7, 4])
    }

    /// Between the used ring's index and the log's, at any of the stores: the batch is done.
    @Test(arguments: 0...3)
    func aBatchThatWasPublishedIsDone(cleared: Int) throws {
        let memory = try mapping()
        let heads: [UInt16] = [3, 5, 6]
        do {
            var log = log(memory)
            _ = try log.recover(usedIndex: 0xFFFE)
            for head: UInt16 in [1] + heads { log.begin(head) }
            for head in heads { log.willPublish(head) }
        }
        for head in heads.prefix(cleared) {
            memory.base.storeBytes(of: 0, toByteOffset: 16 + 16 * Int(head), as: UInt8.self)
        }
        var log = log(memory)
        let left = try log.recover(usedIndex: 1)
        #expect(left == [1])
    }

    /// The same before the used ring's index has moved: nothing of the batch is.
    @Test func aBatchThatWasNotPublishedIsNotDone() throws {
        let memory = try mapping()
        var log = log(memory)
        _ = try log.recover(usedIndex: 0)
        for head: UInt16 in [1, 3] { log.begin(head) }
        for head: UInt16 in [3, 1] { log.willPublish(head) }
        var next = self.log(memory)
        let left = try next.recover(usedIndex: 0)
        #expect(left == [1, 3])
    }

    /// A device that dies as it clears the flags, or before the index: a driver that starts over has an index of zero.
    @Test func anIndexThatMovedWithoutRequestsMeansNothing() throws {
        let memory = try mapping()
        do {
            var log = log(memory)
            _ = try log.recover(usedIndex: 1000)
        }
        var log = log(memory)
        let left = try log.recover(usedIndex: 0)
        #expect(left == [])
    }

    // MARK: Logs that cannot be

    private func fault(usedIndex: UInt16 = 0, _ change: (SharedMapping) -> Void) throws
        -> InflightFault?
    {
        let memory = try mapping()
        do {
            var log = log(memory)
            _ = try log.recover(usedIndex: 0)
            log.begin(2)
        }
        change(memory)
        var log = log(memory)
        do throws(InflightFault) {
            _ = try log.recover(usedIndex: usedIndex)
            return nil
        } catch { return error }
    }

    @Test func logsOfOthers() throws {
        #expect(
            try fault { $0.base.storeBytes(of: 2, toByteOffset: 8, as: UInt16.self) } == .version(2)
        )
        #expect(
            try fault { $0.base.storeBytes(of: 4, toByteOffset: 10, as: UInt16.self) }
                == .entries(4, expected: 8))
        #expect(try fault(usedIndex: 9) { _ in } == .lastBatch(9, of: 8))
        #expect(try fault(usedIndex: 0xFFFF) { _ in } == .lastBatch(0xFFFF, of: 8))
        // A list that leads out of the log, or in a circle.
        let outside = try fault(usedIndex: 2) {
            $0.base.storeBytes(of: 8, toByteOffset: 12, as: UInt16.self)
        }
        #expect(outside == .lastBatch(2, of: 8))
        #expect(try fault(usedIndex: 8) { _ in } == nil)
    }

    /// Whatever the front-end writes there: an answer or an error, and no head outside.
    @Test func anyBytes() throws {
        var generator = SystemRandomNumberGenerator()
        let memory = try mapping()
        var answers = 0
        for _ in 0..<20_000 {
            let words = memory.byteCount / 2
            for _ in 0..<Int.random(in: 0...8, using: &generator) {
                memory.base.storeBytes(
                    of: UInt16.random(in: 0...10, using: &generator),
                    toByteOffset: 2 * Int.random(in: 0..<words, using: &generator), as: UInt16.self)
            }
            var log = log(memory)
            do throws(InflightFault) {
                let used = UInt16.random(in: 0...10, using: &generator)
                guard let left = try log.recover(usedIndex: used) else { continue }
                #expect(left.count <= 8 && left.allSatisfy { $0 < 8 })
                answers += 1
            } catch { memory.base.initializeMemory(as: UInt8.self, repeating: 0, count: 144) }
        }
        #expect(answers > 0)
    }

    // MARK: Over the socket

    @Test func theFileGoesToTheFrontEndAndComesBack() throws {
        let session = try Session()
        try session.acknowledgeEverything()
        let asked = InflightDescription(queueCount: 2, queueSize: 128)
        try session.ask(.getInflight(asked))
        let reply = try #require(try session.front.reply())
        #expect(reply.code == .getInflight && reply.payload.count == 24)
        let answer = try Request(.getInflight, payload: reply.payload)
        guard case .getInflight(let given) = answer else { return }
        // 16 bytes a queue and as many an entry, in whole lines.
        #expect(given.byteCount == 2 * 2112 && given.queueCount == 2 && given.queueSize == 128)
        let file = try #require(reply.descriptor?.raw)
        #expect(try session.ask(.setInflight(given), [file]) == [.inflightChanged])
        #expect(session.inflight?.queueSize == 128)
        #expect(copies(of: file) == 2)
        let guest = try SharedGuest()
        try session.startQueue(guest)
        #expect(
            try session.refusal(of: .setInflight(given), [file])
                == .queue(0, .isRunning(.setInflight)))
    }

    @Test func filesThatAreNone() throws {
        let guest = try SharedGuest(pages: 1)
        func refusal(
            _ count: UInt64, at offset: UInt64 = 0, queues: UInt16 = 1, size: UInt16 = 8
        ) throws -> ProtocolError? {
            let session = try Session()
            try session.acknowledgeEverything()
            return try session.refusal(
                of: .setInflight(
                    InflightDescription(
                        byteCount: count, offset: offset, queueCount: queues, queueSize: size)),
                [guest.memory])
        }
        #expect(try refusal(192) == nil)
        #expect(try refusal(4096, at: 4096 - 192) == nil)
        #expect(try refusal(192, queues: 0) == .inflight(.queues(0, limit: 2)))
        #expect(try refusal(192, queues: 3) == .inflight(.queues(3, limit: 2)))
        #expect(try refusal(192, size: 0) == .inflight(.size(0)))
        #expect(try refusal(.max, size: 32769) == .inflight(.size(32769)))
        for (count, offset) in [(UInt64(191), UInt64(0)), (192, 8)] {
            let given = InflightDescription(
                byteCount: count, offset: offset, queueCount: 1, queueSize: 8)
            #expect(try refusal(count, at: offset) == .inflight(.place(given, needed: 192)))
        }
        for (count, offset, queues) in [
            (UInt64(192), UInt64(4096 - 128), UInt16(1)), (192, .max - 63, 1), (384, 3904, 2),
        ] where offset % 64 == 0 {
            let given = InflightDescription(
                byteCount: count, offset: offset, queueCount: queues, queueSize: 8)
            #expect(
                try refusal(count, at: offset, queues: queues)
                    == .inflight(.longerThanFile(given, 4096)))
        }
    }

    @Test func aQueueThatTheLogHasNoRoomFor() throws {
        let guest = try SharedGuest()
        for (queue, size) in [(UInt8(1), UInt32(8)), (0, 16)] {
            let session = try Session()
            try session.acknowledgeEverything()
            let given = InflightDescription(byteCount: 192, queueCount: 1, queueSize: 8)
            try session.ask(.setInflight(given), [guest.memory])
            try session.ask(.setMemoryTable([guest.region]), [guest.memory])
            try session.ask(.setQueueSize(queue: UInt32(queue), size))
            try session.ask(.setQueueAddresses(queue: UInt32(queue), guest.addresses))
            #expect(
                try session.refusal(of: .setKick(queue: queue, hasDescriptor: false))
                    == .inflight(.queueTooLarge(Int(queue), Int(size))))
        }
    }
}
