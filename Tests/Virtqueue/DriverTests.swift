import Glibc
import GuestMemory
import Testing
import Virtqueue

@Suite struct DriverTests {
    /// Rounds past the 65,536 at which the indices wrap, with as many requests outstanding as fit.
    @Test(arguments: [(4, 1), (4, 4), (64, 16)])
    func indicesWrap(queueSize: Int, requests: Int) throws {
        let view = try guestMemory(pages: 64)
        let layout = try VirtqueueLayout(
            queueSize: queueSize, requests: requests, dataDescriptors: 2)
        let start = GFN(1)
        var driver = DriverQueue(layout, at: start, in: view)
        var device = Device(layout, at: start, in: view)
        var prepared: [PreparedRequest] = []
        for index in 0..<UInt64(requests) {
            prepared.append(
                try driver.prepare(data: [PageRange(start: 20 + 2 * index, count: 1)]))
        }
        var generation: UInt64 = 0
        while generation < 70_000 {
            for (index, request) in prepared.enumerated() {
                driver.submit(request, generation: generation + UInt64(index))
            }
            for index in 0..<requests {
                guard device.next() == .valid,
                    device.request.sector == generation + UInt64(index),
                    device.request.ranges == [PageRange(start: 20 + 2 * UInt64(index), count: 1)]
                else {
                    Issue.record("wrong request after \(generation + UInt64(index))")
                    return
                }
                device.complete()
            }
            for index in 0..<requests {
                let completion = try driver.poll()
                guard completion?.request == prepared[index],
                    completion?.generation == generation + UInt64(index)
                else {
                    Issue.record("wrong completion after \(generation + UInt64(index))")
                    return
                }
            }
            generation += UInt64(requests)
        }
        #expect(try driver.poll() == nil)
        #expect(device.next() == .empty)
    }

    /// A device may complete requests in any order (2.7.8).
    @Test func completionsOutOfOrder() throws {
        let view = try guestMemory(pages: 64)
        let layout = try VirtqueueLayout(queueSize: 16, requests: 3, dataDescriptors: 8)
        var driver = DriverQueue(layout, at: GFN(0), in: view)
        var reader = TestReader()
        var queue = try DeviceQueue(
            layout.rings(at: GFN(0)), registered: [layout.area(at: GFN(0))], in: view)
        var first = DeviceRequest(queueSize: 16)
        var second = DeviceRequest(queueSize: 16)
        var third = DeviceRequest(queueSize: 16)
        let long = (0..<UInt64(8)).map { PageRange(start: 20 + 2 * $0, count: 1) }
        let a = try driver.submit(data: long, generation: 1)
        let b = try driver.submit(data: [PageRange(start: 40, count: 2)], generation: 2)
        let c = try driver.submit(data: long.reversed(), generation: 3)
        #expect(queue.next(into: &first, from: view, reading: &reader) == .valid)
        #expect(queue.next(into: &second, from: view, reading: &reader) == .valid)
        #expect(queue.next(into: &third, from: view, reading: &reader) == .valid)
        queue.complete(&third, with: .ioError)
        queue.complete(&first, with: .unsupported, bytesWritten: 4096)
        queue.complete(&second, with: .ok, bytesWritten: 8192)

        var completions: [Completion] = []
        while let completion = try driver.poll() { completions.append(completion) }
        #expect(completions.map(\.request) == [c, a, b])
        #expect(completions.map(\.generation) == [3, 1, 2])
        #expect(completions.map(\.status) == [.ioError, .unsupported, .ok])
        #expect(completions.map(\.usedLength) == [0, 4096, 8193])
        // All three slots are free again.
        for _ in 0..<3 { _ = try driver.prepare(data: long) }
    }

    /// A resubmitted request costs no descriptor: the device finds the chain that lies there.
    @Test func resubmissionWritesNoDescriptor() throws {
        let view = try guestMemory(pages: 64)
        let layout = try VirtqueueLayout(queueSize: 16, dataDescriptors: 8)
        let guest = HandBuiltQueue(view: view, layout: layout, start: GFN(0))
        var driver = DriverQueue(layout, at: GFN(0), in: view)
        var device = Device(guest)
        let request = try driver.prepare(
            data: (0..<UInt64(8)).map { PageRange(start: 20 + 2 * $0, count: 1) })
        // Were the chain built anew, this change to it would be undone.
        guest.set(guest.data(page: 50, next: 2), at: 1, tableAt: layout.indirectTablesOffset)
        for generation in 1...3 as ClosedRange<UInt64> {
            driver.submit(request, generation: generation)
            #expect(device.next() == .valid)
            let (seen, range) = (device.request.sector, device.request.ranges[0])
            #expect(seen == generation)
            #expect(range == PageRange(start: 50, count: 1))
            device.complete()
            #expect(try driver.poll()?.generation == generation)
        }
    }

    @Test func aMissingOrUnknownStatusIsNone() throws {
        let view = try guestMemory(pages: 64)
        let layout = try VirtqueueLayout(queueSize: 8, dataDescriptors: 6)
        let guest = HandBuiltQueue(view: view, layout: layout, start: GFN(0))
        var driver = DriverQueue(layout, at: GFN(0), in: view)
        let request = try driver.prepare(data: [PageRange(start: 20, count: 1)])
        for (index, code) in [nil, UInt8(3)].enumerated() {
            driver.submit(request, generation: 1)
            if let code { guest.store(code, at: layout.recordsOffset + 32) }
            guest.store(UInt32(0), at: layout.usedRingOffset + 4 + 8 * index)
            guest.store(UInt16(index + 1), at: layout.usedRingOffset + 2)
            let completion = try #require(try driver.poll())
            #expect(completion.status == nil)
        }
    }

    @Test(arguments: [UInt32(1), 3, 4, 8, 0xffff_ffff])
    func aHeadThatIsNotOutstandingIsNoCompletion(head: UInt32) throws {
        let view = try guestMemory(pages: 64)
        // Heads are 0 and 4; the first is outstanding.
        let layout = try VirtqueueLayout(queueSize: 8, requests: 2, dataDescriptors: 6)
        let guest = HandBuiltQueue(view: view, layout: layout, start: GFN(0))
        var driver = DriverQueue(layout, at: GFN(0), in: view)
        try driver.submit(data: [PageRange(start: 20, count: 1)], generation: 1)
        _ = try driver.prepare(data: [PageRange(start: 21, count: 1)])
        guest.store(head, at: layout.usedRingOffset + 4)
        guest.store(UInt16(1), at: layout.usedRingOffset + 2)
        for _ in 0..<2 {
            #expect(throws: DeviceError.notOutstanding(head: head)) { _ = try driver.poll() }
        }
    }

    @Test(arguments: [UInt16(2), 8, 0xffff])
    func aUsedIndexThatRanAheadIsNoCompletion(index: UInt16) throws {
        let view = try guestMemory(pages: 64)
        let layout = try VirtqueueLayout(queueSize: 8, dataDescriptors: 6)
        let guest = HandBuiltQueue(view: view, layout: layout, start: GFN(0))
        var driver = DriverQueue(layout, at: GFN(0), in: view)
        try driver.submit(data: [PageRange(start: 20, count: 1)], generation: 1)
        guest.store(index, at: layout.usedRingOffset + 2)
        #expect(throws: DeviceError.usedIndexRanAhead(by: Int(index), outstanding: 1)) {
            _ = try driver.poll()
        }
    }

    // MARK: Programmer errors trap

    @Test func submittingAnOutstandingRequestTraps() async {
        await #expect(processExitsWith: .signal(SIGILL)) {
            let view = try guestMemory(pages: 64)
            let layout = try VirtqueueLayout(queueSize: 8, dataDescriptors: 6)
            var driver = DriverQueue(layout, at: GFN(0), in: view)
            let request = try driver.prepare(data: [PageRange(start: 20, count: 1)])
            driver.submit(request, generation: 1)
            driver.submit(request, generation: 2)
            exit(EXIT_SUCCESS)
        }
    }

    @Test func releasingAnOutstandingRequestTraps() async {
        await #expect(processExitsWith: .signal(SIGILL)) {
            let view = try guestMemory(pages: 64)
            let layout = try VirtqueueLayout(queueSize: 8, dataDescriptors: 6)
            var driver = DriverQueue(layout, at: GFN(0), in: view)
            let request = try driver.prepare(data: [PageRange(start: 20, count: 1)])
            driver.submit(request, generation: 1)
            driver.release(request)
            exit(EXIT_SUCCESS)
        }
    }

    @Test func completingTwiceTraps() async {
        await #expect(processExitsWith: .signal(SIGILL)) {
            let view = try guestMemory(pages: 64)
            let layout = try VirtqueueLayout(queueSize: 8, dataDescriptors: 6)
            var driver = DriverQueue(layout, at: GFN(0), in: view)
            var device = Device(layout, at: GFN(0), in: view)
            try driver.submit(data: [PageRange(start: 20, count: 1)], generation: 1)
            _ = device.next()
            device.complete()
            device.complete()
            exit(EXIT_SUCCESS)
        }
    }

    @Test func claimingMoreBytesThanTheDataTraps() async {
        await #expect(processExitsWith: .signal(SIGILL)) {
            let view = try guestMemory(pages: 64)
            let layout = try VirtqueueLayout(queueSize: 8, dataDescriptors: 6)
            var driver = DriverQueue(layout, at: GFN(0), in: view)
            var device = Device(layout, at: GFN(0), in: view)
            try driver.submit(data: [PageRange(start: 20, count: 1)], generation: 1)
            _ = device.next()
            device.queue.complete(&device.request, with: .ok, bytesWritten: 4097)
            exit(EXIT_SUCCESS)
        }
    }
}
