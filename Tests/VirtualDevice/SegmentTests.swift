import DmaLinux
import GuestMemory
import PinLock
import Synchronization
import Telemetry
import Testing
import Virtqueue

@testable import VirtualDevice

/// Requests as a guest's own driver makes them: of any bytes, with their parts anywhere.
@Suite struct SegmentTests {
    private let page: @Sendable (UInt64) -> UInt64 = { $0 * pageSize }

    private func bench(_ type: any PinStrategy.Type = RangeTree.self) throws -> Bench {
        let bench = try Bench(type, pages: 64)
        bench.fill()
        try bench.convert(range(16..<64), to: .shared)
        return bench
    }

    /// Lists of segments that share pages, touch, overlap, and lie anywhere.
    private var lists: [[(UInt64, UInt32)]] {
        [
            [(page(20), 512)], [(page(20) + 1, 1)], [(page(20) + 4095, 2)],
            [(page(20), 512), (page(20) + 512, 512), (page(20) + 2048, 1024)],
            [(page(24), 4096), (page(20) + 100, 9000), (page(22) + 3000, 5000)],
            [(page(20) + 10, 20), (page(20) + 5, 20)],
            [(page(30) + 77, 12_345), (page(20), 4096), (page(30), 50)],
            [(page(63), 4096), (page(17) + 4000, 96), (page(18), 3)],
        ]
    }

    /// Written are the bytes that are named, under every strategy and in every chunk, and no other.
    @Test(arguments: Candidate.safe)
    func writesTheBytesThatAreNamed(_ candidate: Candidate) throws {
        let bench = try bench(candidate.type)
        for list in lists {
            for chunk in [1, 2, 3, PageRange.frameLimit] {
                bench.fill()
                var options = Bench.Options()
                options.chunk = chunk
                let request = RawRequest(list)
                let outcome = try bench.serve(request, options)
                let count = UInt64(request.bytes.count)
                #expect(outcome.status == 0 && UInt64(outcome.usedLength) == count + 1)
                #expect(outcome.sample?.bytes == count && outcome.sample?.status == 0)
                // No byte of the stamp is what `fill` leaves.
                #expect(bench.changedBytes() == Set(request.bytes), "\(list) by \(chunk)")
                #expect(bench.pinsInFlight == 0)
            }
        }
        #expect(try bench.strategy.audit() == nil)
    }

    /// Read are the bytes that are named, and not one of guest memory is written but the status.
    @Test(arguments: Candidate.safe)
    func readsTheBytesThatAreNamed(_ candidate: Candidate) throws {
        let bench = try bench(candidate.type)
        let memory = bench.view.bytes(of: range(16..<64))
        for index in memory.indices {
            memory[index] = UInt8(truncatingIfNeeded: index &* 7 &+ index >> 9)
        }
        let before = [UInt8](memory)
        for list in lists {
            for chunk in [1, 2, PageRange.frameLimit] {
                var options = Bench.Options()
                options.chunk = chunk
                let request = RawRequest(list, type: .out)
                let outcome = try bench.serve(request, options)
                var expected: UInt64 = 0
                for address in request.bytes {
                    expected ^= UInt64(before[Int(address - page(16))]) << (8 * (address % 8))
                }
                #expect(outcome.digest == expected, "\(list) by \(chunk)")
                #expect(outcome.status == 0 && outcome.usedLength == 1)
                #expect(outcome.sample?.bytes == UInt64(request.bytes.count))
            }
        }
        #expect([UInt8](memory) == before && bench.pinsInFlight == 0)
    }

    /// Every page of a list is pinned, whichever it is: one private page, and nothing is moved.
    @Test(arguments: Candidate.safe, [RequestType.in, .out])
    func aPrivatePageRefusesAll(_ candidate: Candidate, type: RequestType) throws {
        let bench = try bench(candidate.type)
        for list in lists {
            let request = RawRequest(list, type: type)
            for hole in Set(request.bytes.map { $0 / pageSize }) {
                bench.fill()
                try bench.convert(range(hole..<hole + 1), to: .private)
                let outcome = try bench.serve(request)
                #expect(outcome.status == 1 && outcome.usedLength == (type == .out ? 1 : 0))
                #expect(outcome.sample?.status == RequestOutcome.privatePage.rawValue)
                #expect(outcome.sample?.firstGFN == UInt32(hole))
                #expect(bench.telemetry.lastFailure == .privatePage)
                #expect(bench.changedBytes().isEmpty && outcome.digest == 0)
                #expect(bench.pinsInFlight == 0)
                try bench.convert(range(hole..<hole + 1), to: .shared)
            }
        }
        #expect(try bench.strategy.audit() == nil)
    }

    // MARK: Header, table, status

    /// Each part that is not in the queue's area is pinned for itself: where it is private the request fails, where all are
    /// shared it is served. What can be told is told.
    @Test(arguments: Candidate.safe)
    func eachPartIsPinned(_ candidate: Candidate) throws {
        let bench = try bench(candidate.type)
        var request = RawRequest([(page(40) + 8, 4000), (page(42), 4096)])
        request.header = page(30) + 4090
        request.table = page(33) - 24
        request.status = page(35) + 17
        for chunk in [1, PageRange.frameLimit] {
            var options = Bench.Options()
            options.chunk = chunk
            bench.fill()
            let served = try bench.serve(request, options)
            #expect(served.status == 0 && served.usedLength == 8097)
            let sample = try #require(served.sample)
            #expect(sample.status == 0 && sample.bytes == 8096)
            // The time for header and table is time for pins, and part of the whole.
            #expect(sample.pinTicks > 0)
            #expect(sample.totalTicks >= sample.pinTicks + sample.writeTicks + sample.unpinTicks)
            for hole in [30, 31, 32, 33, 35, 40, 42] as [UInt64] {
                try bench.convert(range(hole..<hole + 1), to: .private)
                let refused = try bench.serve(request, options)
                // Of what the guest put in the private page nothing is read, and nothing is written there.
                let hasStatus = ![32, 33, 35].contains(hole)
                #expect(refused.status == (hasStatus ? 1 : 0xee), "page \(hole)")
                let outcome = refused.sample.map(\.status)
                let isData = [40, 42, 35].contains(hole)
                #expect((outcome == RequestOutcome.privatePage.rawValue) == isData, "page \(hole)")
                #expect(bench.pinsInFlight == 0)
                try bench.convert(range(hole..<hole + 1), to: .shared)
            }
        }
        #expect(try bench.strategy.audit() == nil)
    }

    /// Once its page is given back, the guest may take it: the status is there before.
    @Test func theStatusIsWrittenUnderItsPin() throws {
        let bench = try bench()
        for (chunk, hole) in [(PageRange.frameLimit, nil), (1, nil), (PageRange.frameLimit, 40)]
            as [(UInt64, UInt64?)]
        {
            var request = RawRequest([(page(40), 4096)])
            request.status = page(35)
            let seen = Mutex<[UInt8]>([])
            var options = Bench.Options()
            options.chunk = chunk
            options.onUnpin = { [view = bench.view, page] range in
                guard range.contains(GFN(35)) else { return }
                let status = view.pointer(to: page(35), byteCount: 1)!.load(as: UInt8.self)
                seen.withLock { $0.append(status) }
            }
            if let hole { try bench.convert(range(hole..<hole + 1), to: .private) }
            let outcome = try bench.serve(request, options)
            #expect(outcome.status == (hole == nil ? 0 : 1))
            let told = seen.withLock { $0 }
            #expect(told == [outcome.status], "chunk \(chunk), private page \(hole ?? 0)")
        }
    }

    @Test func flushAndGetID() throws {
        let bench = try bench()
        var flush = RawRequest([(UInt64, UInt32)](), type: .flush)
        let flushed = try bench.serve(flush)
        #expect(flushed.status == 0 && flushed.usedLength == 1 && flushed.sample == nil)
        flush.status = page(20) + 9
        #expect(try bench.serve(flush).status == 0)
        try bench.convert(range(20..<21), to: .private)
        #expect(try bench.serve(flush).status == 0xee)
        try bench.convert(range(20..<21), to: .shared)
        bench.fill()

        let name = Array("dma-bench".utf8) + [UInt8](repeating: 0, count: 11)
        for lengths in [[20], [3, 17], [64], [5]] as [[UInt32]] {
            bench.fill()
            var segments: [(UInt64, UInt32)] = []
            for (index, length) in lengths.enumerated() {
                segments.append((page(30 + 2 * UInt64(index)) + 100, length))
            }
            let request = RawRequest(segments, type: .getID)
            let outcome = try bench.serve(request)
            let written = min(request.bytes.count, 20)
            let found = request.bytes.map {
                bench.view.pointer(to: $0, byteCount: 1)!.load(as: UInt8.self)
            }
            #expect(Array(found.prefix(20)) == Array(name.prefix(written)))
            #expect(found.dropFirst(20).allSatisfy { $0 == 0xA5 })
            #expect(outcome.status == 0)
            #expect(Int(outcome.usedLength) == written + (request.bytes.count <= 20 ? 1 : 0))
        }
        #expect(bench.pinsInFlight == 0)
    }

    /// Where private pages are protected, nothing stops a read, and no store but an engine's is watched.
    @Test func underProtectionOnlyEnginesStore() throws {
        let bench = try bench()
        var options = Bench.Options()
        options.isProtected = true
        #expect(try bench.serve(RawRequest([(page(20), 64)]), options).status == 0)
        for type in [RequestType.out, .getID] {
            let refused = try bench.serve(RawRequest([(page(20), 64)], type: type), options)
            #expect(refused.status == 1 && refused.sample == nil && refused.digest == 0)
        }
        var request = RawRequest([(page(20), 64)])
        request.status = page(30)
        #expect(try bench.serve(request, options).status == 0xee)
    }

    // MARK: The oracle

    /// A page that is converted while it is read: without a pin that holds, the device notices.
    @Test func aStaleReadIsSeen() throws {
        let bench = try Bench(None.self, pages: 8192)
        let buffer = range(64..<8192)
        try bench.convert(buffer, to: .shared)
        let victim = range(8191..<8192)
        let request = RawRequest(
            [(buffer.start.address, UInt32(buffer.count.bytes.rawValue))], type: .out)
        let stop = Atomic(false)
        let converter = try WorkerThread(name: "converter") {
            while !stop.load(ordering: .acquiring) {
                _ = try? bench.convert(victim, to: .private)
                _ = try? bench.convert(victim, to: .shared)
            }
        }
        var found: DMASample?
        for _ in 0..<2000 where found == nil {
            let sample = try bench.serve(request).sample
            if let sample, sample.stalePages > 0 { found = sample }
        }
        stop.store(true, ordering: .releasing)
        converter.join()
        let sample = try #require(found)
        #expect(sample.stalePages == 1 && sample.firstGFN == 8191)
    }

    /// The same of what is read before the request is known: its header.
    @Test func aStaleHeaderIsSeen() throws {
        let bench = try Bench(None.self)
        try bench.convert(range(16..<64), to: .shared)
        var request = RawRequest([(page(20), 64)])
        request.header = page(30)
        let stop = Atomic(false)
        let converter = try WorkerThread(name: "converter") {
            while !stop.load(ordering: .acquiring) {
                _ = try? bench.convert(range(30..<31), to: .private)
                _ = try? bench.convert(range(30..<31), to: .shared)
            }
        }
        var found: DMASample?
        // Until a conversion falls between pin and look, which on one processor takes a while.
        let deadline = Deadline.after(milliseconds: 60_000)
        while found == nil, !deadline.hasPassed {
            let sample = try bench.serve(request).sample
            if let sample, sample.stalePages > 0 { found = sample }
        }
        stop.store(true, ordering: .releasing)
        converter.join()
        let sample = try #require(found)
        #expect(sample.stalePages == 1 && sample.firstGFN == 30)
    }
}
