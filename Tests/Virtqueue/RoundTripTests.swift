import DmaStatistics
import GuestMemory
import Testing
import Virtqueue

/// Both sides of a queue in one thread.
@Suite struct RoundTripTests {
    private func pages(_ starts: [UInt64], count: UInt64 = 1) -> [PageRange] {
        starts.map { PageRange(start: $0, count: count) }
    }

    /// Chains of 3, 4 (direct) and 5 to 32 (indirect) descriptors, as the device sees and answers
    /// them.
    @Test(arguments: [1, 2, 3, 10, 30])
    func everyPageArrivesInOrder(count: Int) throws {
        let view = try guestMemory(pages: 256)
        let layout = try VirtqueueLayout(queueSize: 32, dataDescriptors: 30)
        let guest = HandBuiltQueue(view: view, layout: layout, start: GFN(3))
        var driver = DriverQueue(layout, at: GFN(3), in: view)
        var device = Device(layout, at: GFN(3), in: view)
        // Descending, with gaps: nothing to merge.
        let data = pages((0..<UInt64(count)).map { 200 - 2 * $0 })

        try driver.submit(data: data, generation: 42)
        let isIndirect = guest.descriptor(0).flags == RawDescriptor.indirect
        #expect(isIndirect == (count + 2 > 4))

        #expect(device.next() == .valid)
        let (ranges, generation) = (device.request.ranges, device.request.sector)
        #expect(ranges == data)
        #expect(generation == 42)
        #expect(try driver.poll() == nil)
        device.complete()
        #expect(device.next() == .empty)

        let completion = try #require(try driver.poll())
        let bytes = UInt64(count) * pageSize
        #expect(completion.generation == 42)
        #expect(completion.status == .ok)
        #expect(completion.usedLength == UInt32(bytes) + 1)
        #expect(try driver.poll() == nil)
        let outstanding = driver.outstanding
        #expect(outstanding == 0)
    }

    @Test func neighboursAreMergedInRequestOrder() throws {
        let view = try guestMemory(pages: 256)
        let layout = try VirtqueueLayout(queueSize: 32, dataDescriptors: 30)
        var driver = DriverQueue(layout, at: GFN(0), in: view)
        var device = Device(layout, at: GFN(0), in: view)
        try driver.submit(data: pages([50, 51, 52, 60, 59, 58, 53, 54]), generation: 1)
        #expect(device.next() == .valid)
        let ranges = device.request.ranges
        #expect(
            ranges == [
                PageRange(start: 50, count: 3), PageRange(start: 60, count: 1),
                PageRange(start: 59, count: 1), PageRange(start: 58, count: 1),
                PageRange(start: 53, count: 2),
            ])
    }

    /// One descriptor holds at most 4 GiB - 4 KiB; what is longer goes in pieces of 2 GiB.
    @Test(
        arguments: [
            [0xf_ffff], [0x8_0000, 0x8_0000], [0x8_0000, 0x8_0000, 0x8_0000, 1],
        ] as [[UInt64]])
    func longRangesAreSplitAndMergedAgain(pieces: [UInt64]) throws {
        let count = pieces.reduce(0, +)
        let view = try guestMemory(pages: 2 * pagesPerGiB * 4)
        let layout = try VirtqueueLayout(queueSize: 8, dataDescriptors: 6)
        let guest = HandBuiltQueue(view: view, layout: layout, start: GFN(0))
        var driver = DriverQueue(layout, at: GFN(0), in: view)
        var device = Device(layout, at: GFN(0), in: view)
        let range = PageRange(start: pagesPerGiB, count: count)
        try driver.submit(data: [range], generation: 1)

        let table = pieces.count + 2 > 4 ? layout.indirectTablesOffset : nil
        let lengths = (0..<pieces.count).map { guest.descriptor($0 + 1, tableAt: table).length }
        #expect(lengths == pieces.map { UInt32($0 * pageSize) })

        #expect(device.next() == .valid)
        let ranges = device.request.ranges
        #expect(ranges == [range])
        device.complete()
        let completion = try #require(try driver.poll())
        #expect(completion.status == .ok)
        // The used ring's length is a lower bound where it cannot hold the sum.
        #expect(completion.usedLength == UInt32(clamping: count * pageSize + 1))
    }

    @Test func theLongestChainInAnyOrder() throws {
        let view = try guestMemory(pages: 100_000)
        let layout = try VirtqueueLayout(queueSize: 32768, dataDescriptors: 32766)
        var driver = DriverQueue(layout, at: GFN(0), in: view)
        var device = Device(layout, at: GFN(0), in: view)
        var generator = SplitMix64(seed: 1)
        var starts = (0..<UInt64(32766)).map { 1000 + 2 * $0 }
        starts.shuffle(using: &generator)
        try driver.submit(data: pages(starts), generation: 1)
        #expect(device.next() == .valid)
        let ranges = device.request.ranges
        #expect(ranges == pages(starts))
        device.complete()
        _ = try driver.poll()
    }

    @Test func refusalsReachTheDriver() throws {
        let view = try guestMemory(pages: 64)
        let layout = try VirtqueueLayout(queueSize: 8, dataDescriptors: 6)
        var driver = DriverQueue(layout, at: GFN(0), in: view)
        var device = Device(layout, at: GFN(0), in: view)
        try driver.submit(data: pages([20, 22]), generation: 1)
        #expect(device.next() == .valid)
        device.complete(.ioError)
        let refused = try #require(try driver.poll())
        #expect(refused.status == .ioError)
        #expect(refused.usedLength == 0)

        // The driver hands on what it is given; the device judges it.
        try driver.submit(data: pages([20, 64]), generation: 2)
        #expect(device.next() == .invalid(.dataOutsideGuestMemory(64 * pageSize, 4096)))
        device.complete(.ioError)
        let bad = try #require(try driver.poll())
        #expect(bad.status == .ioError)
    }

    /// The device reads what the driver lets it read, and writes the status alone.
    @Test(arguments: [1, 10])
    func aRequestToReadComesAsOne(count: Int) throws {
        let view = try guestMemory(pages: 64)
        let layout = try VirtqueueLayout(queueSize: 16, dataDescriptors: 14)
        var driver = DriverQueue(layout, at: GFN(0), in: view)
        var device = Device(layout, at: GFN(0), in: view)
        let data = pages((0..<UInt64(count)).map { 20 + 2 * $0 })
        try driver.submit(.out, data: data, generation: 5)
        #expect(device.next() == .valid)
        let (type, sector) = (device.request.type, device.request.sector)
        let (ranges, writable) = (device.request.ranges, device.request.writableByteCount)
        #expect(type == .out && sector == 5 && ranges == data && writable == 0)
        device.complete()
        let completion = try #require(try driver.poll())
        #expect(completion.status == .ok && completion.usedLength == 1)
    }

    @Test func whatFitsNoChainIsRefused() throws {
        let view = try guestMemory(pages: 64)
        let layout = try VirtqueueLayout(queueSize: 8, requests: 2, dataDescriptors: 3)
        var driver = DriverQueue(layout, at: GFN(0), in: view)
        #expect(throws: PrepareError.noData) { _ = try driver.prepare(data: []) }
        #expect(throws: PrepareError.tooManyDescriptors(needed: 4, limit: 3)) {
            _ = try driver.prepare(data: self.pages([20, 22, 24, 26]))
        }
        let first = try driver.prepare(data: pages([20]))
        _ = try driver.prepare(data: pages([22]))
        #expect(throws: PrepareError.noFreeRequest(limit: 2)) {
            _ = try driver.prepare(data: self.pages([24]))
        }
        driver.release(first)
        _ = try driver.prepare(data: pages([24]))
    }
}
