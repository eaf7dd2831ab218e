import DmaLinux
import DmaStatistics
import Testing

@testable import VhostUser

/// Where a successor begins, and that it loses nothing and does nothing twice.
@Suite struct ResumeTests {
    /// Many short lives of a device, at any step of which it dies; then one in which it does not. What went wrong, if
    /// anything did.
    private static func run(
        seed: UInt64, hasLog: Bool, inOrder: Bool, flaw: MortalDevice.Flaw
    ) throws -> String? {
        var device = try MortalDevice(seed: seed, hasLog: hasLog, flaw: flaw)
        var generator = SplitMix64(seed: seed ^ 0xABCD)
        for life in 0..<30 {
            device.submit(Int(generator.below(9)))
            // A front-end whose back-end has died says what the used ring says.
            let steps = life == 29 ? 10_000 : Int(generator.below(40))
            do {
                try device.live(steps: steps, base: device.guest.usedIndex, inOrder: inOrder)
            } catch is MortalDevice.Death {
            } catch let fault as ResumeFault { return "refused: \(fault)" }
            device.takeBack()
            if let complaint = device.complaint { return complaint }
        }
        for request in 0..<device.submitted where device.returned[request] != 1 {
            return "request \(request) was used \(device.returned[request] ?? 0) times"
        }
        return nil
    }

    @Test(arguments: [true, false])
    func withALogNothingIsLostOrDoneTwice(inOrder: Bool) throws {
        for seed in 0..<300 as Range<UInt64> {
            let fault = try Self.run(seed: seed, hasLog: true, inOrder: inOrder, flaw: .none)
            #expect(fault == nil, "seed \(seed)")
        }
    }

    @Test func withoutALogNothingIsLostInOrder() throws {
        for seed in 0..<300 as Range<UInt64> {
            let fault = try Self.run(seed: seed, hasLog: false, inOrder: true, flaw: .none)
            #expect(fault == nil, "seed \(seed)")
        }
    }

    /// Out of order and without a log it cannot be known. Mostly that is noticed; nobody may rely on it.
    @Test func withoutALogAndOutOfOrderMuchIsRefused() throws {
        let faults = try (0..<100).compactMap {
            try Self.run(seed: $0, hasLog: false, inOrder: false, flaw: .none)
        }
        #expect(faults.count { $0.hasPrefix("refused: ") } > 50)
    }

    @Test(arguments: [MortalDevice.Flaw.settlesFirst, .beginsLate, .ignoresLog])
    func aDeviceWithTheDecisiveLineWrongIsCaught(flaw: MortalDevice.Flaw) throws {
        let faults = try (0..<100).compactMap {
            try Self.run(seed: $0, hasLog: true, inOrder: false, flaw: flaw)
        }
        #expect(faults.count > 10)
    }

    // MARK: One by one

    private func resume(
        _ guest: SharedGuest, base: UInt16, log: SharedMapping? = nil
    ) throws -> Result<ResumePoint, ResumeFault> {
        var table = MemoryTable()
        try table.add(
            MemoryRegion(guest.region, descriptor: .duplicate(guest.memory.fileDescriptor)))
        let rings = try guest.rings
        var queue = log.map { InflightQueue($0, at: 0, size: 8) }
        do throws(ResumeFault) {
            return .success(try ResumePoint(rings, base: base, in: table, log: &queue))
        } catch { return .failure(error) }
    }

    @Test func aNewQueueBeginsAtTheBeginning() throws {
        let guest = try SharedGuest()
        guest.availableIndex = 3
        let log = try InflightLog.create(queueCount: 1, queueSize: 8)
        for log in [nil, log] {
            #expect(try resume(guest, base: 0, log: log).get() == ResumePoint(next: 0, again: []))
        }
    }

    /// With a log, what the front-end says of the place does not count: QEMU gives the used index, others what they
    /// last heard.
    @Test func withALogTheBaseDoesNotCount() throws {
        let guest = try SharedGuest()
        let memory = try InflightLog.create(queueCount: 1, queueSize: 8)
        var log = InflightQueue(memory, at: 0, size: 8)
        _ = try log.recover(usedIndex: 100)
        for head: UInt16 in [5, 1, 3] { log.begin(head) }
        (guest.usedIndex, guest.availableIndex) = (100, 105)
        for base: UInt16 in [0, 100, 103, 9999] {
            #expect(
                try resume(guest, base: base, log: memory).get()
                    == ResumePoint(next: 103, again: [5, 1, 3]))
        }
    }

    @Test func withoutALogTheBaseHasToBeTheUsedIndex() throws {
        let guest = try SharedGuest()
        (guest.usedIndex, guest.availableIndex) = (0xFFFE, 2)
        #expect(try resume(guest, base: 0xFFFE).get().next == 0xFFFE)
        for base: UInt16 in [0, 1, 2, 0xFFFD, 0xFFFF] {
            guard case .failure(.base(base, used: 0xFFFE)) = try resume(guest, base: base) else {
                Issue.record("base \(base) was taken")
                return
            }
        }
    }

    @Test func whatTheRingsShowOfTheOrder() throws {
        let guest = try SharedGuest()
        let heads: [UInt16] = [4, 2, 7, 1]
        for (index, head) in heads.enumerated() { guest.setAvailable(head, at: UInt16(index)) }
        guest.availableIndex = 4
        func use(_ heads: [UInt16]) throws -> Result<ResumePoint, ResumeFault> {
            for (index, head) in heads.enumerated() { guest.setUsed(head, at: UInt16(index)) }
            guest.usedIndex = UInt16(heads.count)
            return try resume(guest, base: guest.usedIndex)
        }
        #expect(try use([]).get().next == 0)
        #expect(try use([4, 2]).get().next == 2)
        #expect(try use(heads).get().next == 4)
        #expect(try use([2, 4]) == .failure(.outOfOrder(0)))
        #expect(try use([4, 7]) == .failure(.outOfOrder(1)))
        // As many more as the queue has: of the used ones, nothing is left in the available ring.
        guest.availableIndex = 10
        #expect(try use([4, 7]).get().next == 2)
    }

    @Test func ringsThatCannotBe() throws {
        let guest = try SharedGuest()
        (guest.usedIndex, guest.availableIndex) = (10, 19)
        #expect(try resume(guest, base: 10) == .failure(.indices(available: 19, used: 10)))
        (guest.usedIndex, guest.availableIndex) = (10, 9)
        #expect(try resume(guest, base: 10) == .failure(.indices(available: 9, used: 10)))
        let memory = try InflightLog.create(queueCount: 1, queueSize: 8)
        var log = InflightQueue(memory, at: 0, size: 8)
        _ = try log.recover(usedIndex: 10)
        for head: UInt16 in 0..<3 { log.begin(head) }
        guest.availableIndex = 12
        #expect(
            try resume(guest, base: 10, log: memory) == .failure(.moreThanOutstanding(3, 2)))
        memory.base.storeBytes(of: 9, toByteOffset: 8, as: UInt16.self)
        #expect(try resume(guest, base: 10, log: memory) == .failure(.log(.version(9))))
    }
}
