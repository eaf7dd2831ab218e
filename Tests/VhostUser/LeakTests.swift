import DmaLinux
import DmaStatistics
import Testing

@testable import VhostUser

/// Descriptors and mappings end with the connection, whatever it was refused for.
@Suite struct LeakTests {
    /// Requests in any order, right and wrong, each with descriptors or without; then the next connection.
    @Test(arguments: [1, UInt64.random(in: .min ... .max)])
    func nothingIsLeft(seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        let (guest, event) = (try SharedGuest(), try OwnedDescriptor(.event()))
        let (end, other) = try StreamSocket.pair()
        let ends = [
            OwnedDescriptor(FileDescriptor(owning: end)),
            OwnedDescriptor(FileDescriptor(owning: other)),
        ]
        let palette: [any HasDescriptor] = [guest.memory, event, ends[0]]
        var (refused, done, effects) = (0, 0, 0)
        for _ in 0..<300 {
            let session = try Session()
            if generator.next() % 4 != 0 { try session.ask(.setProtocolFeatures(.all)) }
            if generator.next() % 2 == 0 { try session.startQueue(guest) }
            for _ in 0..<40 {
                let request = Self.request(guest, &generator)
                var count = request.descriptorCounts.lowerBound
                if generator.next() % 32 == 0 { count = Int(generator.below(4)) }
                let descriptors = (0..<count).map { _ -> any HasDescriptor in
                    request.code == .setKick || request.code == .setCall
                        || request.code == .setError
                        ? event
                        : palette[generator.next() % 32 == 0 ? Int(generator.below(3)) : 0]
                }
                let isAsked = generator.next() % 2 == 0
                try session.front.send(request, descriptors, needsReply: isAsked)
                do throws(ProtocolError) {
                    effects += try session.pump().count
                    done += 1
                } catch {
                    refused += 1
                    #expect(!error.description.isEmpty)
                    break
                }
                while try session.front.reply() != nil {}
            }
            // Some go in the midst of a message, or with one that nobody has read.
            if generator.next() % 2 == 0 {
                let request = Request.setCall(queue: 0, hasDescriptor: true).bytes()
                try session.front.send(
                    Array(request[..<(1 + Int(generator.below(20)))]), [event])
                if generator.next() % 2 == 0 { _ = try? session.pump() }
            }
        }
        #expect(
            refused > 100 && done > 300 && effects > 100,
            "seed \(seed): \(refused) refused, \(done) done, \(effects) effects")
        #expect(copies(of: guest.memory) == 1, "seed \(seed)")
        #expect(copies(of: event) == 1 && copies(of: ends[0]) == 1, "seed \(seed)")
        #expect(mappings(of: guest.memory.name) == 1, "seed \(seed)")
    }

    private static func request(_ guest: SharedGuest, _ generator: inout SplitMix64) -> Request {
        func rarely(_ value: UInt64) -> UInt64 { generator.below(20) == 0 ? value : 0 }
        let queue = UInt32(rarely(2) + generator.below(2))
        let place = (1 + generator.below(8)) << 30 + rarely(4096)
        let region = RegionDescription(
            guestAddress: place, byteCount: (1 + generator.below(4)) * 4096 + rarely(1 << 20),
            userAddress: 1 << 45 + place, offset: generator.below(3) * 4096 + rarely(8))
        switch generator.below(15) {
        case 0: return .setMemoryTable([guest.region])
        case 1: return .addMemoryRegion(region)
        case 2: return .removeMemoryRegion(region)
        case 3: return .setKick(queue: UInt8(queue), hasDescriptor: generator.next() % 2 == 0)
        case 4: return .setCall(queue: UInt8(queue), hasDescriptor: true)
        case 5: return .getQueueBase(queue: queue)
        case 6: return .setLogBase(LogDescription(byteCount: 4096, offset: rarely(1 << 20)))
        case 7: return .getInflight(InflightDescription(queueCount: 2, queueSize: 8))
        case 8:
            return .setInflight(
                InflightDescription(byteCount: 4096, queueCount: UInt16(1 + queue), queueSize: 8))
        case 9: return .setQueueSize(queue: queue, 8)
        case 10, 11, 12: return .setQueueEnabled(queue: queue, true)
        case 13: return .setQueueAddresses(queue: queue, guest.addresses)
        default: return RequestTests.all[Int(generator.below(UInt64(RequestTests.all.count)))]
        }
    }
}
