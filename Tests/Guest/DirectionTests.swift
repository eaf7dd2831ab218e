import Glibc
import GuestMemory
import Settings
import Telemetry
import Testing
import Virtqueue

@testable import Guest

/// Which way requests go, and where their data is meanwhile.
@Suite struct DirectionTests {
    private func driver(
        _ direction: Direction, _ map: MemoryMap, _ view: GuestView, seed: UInt64 = 1,
        control: TurnControl = TurnControl()
    ) throws -> Driver {
        try Driver(
            of: 0, map: map, view: view, control: control, signals: TestSignals().signals,
            clock: testClock, direction: direction, seed: seed)
    }

    /// Has the device take so many requests, and look at each before it completes it: whether it is a read.
    private func serve(
        _ count: Int, of driver: Driver, _ map: MemoryMap, _ view: GuestView,
        look: (_ sector: UInt64, [PageRange]) -> Void = { _, _ in }
    ) -> [Bool] {
        let device = QueueEnd(map, 0, in: view)
        var reads: [Bool] = []
        for _ in 0..<100 * count where reads.count < count {
            _ = driver.step(Moment(now: 1))
            guard case .valid = device.next() else { continue }
            reads.append(device.request.type == .out)
            look(device.request.sector, device.request.ranges)
            device.complete(.ok)
        }
        return reads
    }

    @Test(arguments: [Direction.write, .read])
    func allGoOneWay(direction: Direction) throws {
        let map = try smallMap(devices: 1, requests: 3)
        let view = try memory(of: map)
        let reads = serve(
            50, of: try driver(direction, map, view), map, view,
            look: { _, ranges in #expect(ranges == map.buffers[0].ranges) })
        #expect(reads == Array(repeating: direction == .read, count: 50))
    }

    /// So many of a hundred are reads, in an order that follows from the seed.
    @Test(arguments: [1, 30, 99] as [UInt64])
    func someGoTheOtherWay(share: UInt64) throws {
        func reads(seed: UInt64) throws -> [Bool] {
            let map = try smallMap(devices: 1, requests: 4)
            let view = try memory(of: map)
            return serve(
                2000, of: try driver(.mixed(reads: share), map, view, seed: seed), map, view)
        }
        let one = try reads(seed: 1)
        #expect(one.count == 2000)
        #expect(abs(Double(one.count { $0 }) / 20 - Double(share)) < 4)
        #expect(try one == reads(seed: 1))
        if share == 30 { #expect(try one != reads(seed: 2)) }
    }

    /// The last request that was written is what the buffer holds, whatever has been read since.
    @Test func aReadLeavesTheBufferAsItWas() throws {
        let map = try smallMap(devices: 1, requests: 2)
        let view = try memory(of: map)
        let driver = try driver(.mixed(reads: 50), map, view)
        let device = QueueEnd(map, 0, in: view)
        var (lastWrite, reads) = ([UInt64](), 0)
        for _ in 0..<40 {
            _ = driver.step(Moment(now: 1))
            // By now the driver has seen all that came before.
            #expect(driver.lastCompleted == lastWrite)
            guard case .valid = device.next() else { continue }
            if device.request.type == .out {
                reads += 1
            } else {
                lastWrite = [device.request.sector]
            }
            device.complete(.ok)
        }
        #expect(reads > 5 && reads < 35)
    }

    /// What a device is to read has been copied into the pool before, piece by piece; what it writes comes out again.
    @Test(arguments: [4, 16, 7] as [UInt64])
    func theDeviceReadsWhatTheGuestHas(pool: UInt64) throws {
        let map = try smallMap(devices: 1, pool: pool)
        let view = try memory(of: map)
        // Each page of the target has a number of its own.
        for (number, page) in map.targets[0].ranges.flatMap({ $0.lower..<$0.upper }).enumerated() {
            memset(view.pointer(to: PageRange(start: page, count: 1)), Int32(number + 1), 4096)
        }
        var seen: [UInt8] = []
        let pieces = Int(map.piecesPerRequest)
        let reads = serve(
            2 * pieces, of: try driver(.read, map, view), map, view,
            look: { _, ranges in
                for range in ranges {
                    for page in range.lower..<range.upper {
                        let bytes = view.bytes(of: PageRange(start: page, count: 1))
                        #expect(bytes[0] == bytes[4095])
                        seen.append(bytes[0])
                    }
                }
            })
        #expect(reads.allSatisfy { $0 })
        #expect(seen == Array(1...16) + Array(1...16))
    }
}
