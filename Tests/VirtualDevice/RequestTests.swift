import GuestMemory
import PinLock
import Telemetry
import Testing
import Virtqueue

@testable import VirtualDevice

@Suite struct RequestTests {
    @Test(arguments: Candidate.safe)
    func writesWhatIsAskedForAndNothingElse(_ candidate: Candidate) throws {
        let bench = try Bench(candidate.type)
        bench.fill()
        try bench.convert(range(16..<40), to: .shared)
        let requests = [
            [page(16)], [range(18..<22)], [range(30..<33), page(24), range(38..<40)],
            [range(25..<26), range(26..<28)],
        ]
        let status = try bench.serve(requests)
        for (index, data) in requests.enumerated() {
            let bytes = data.reduce(0) { $0 + $1.count.bytes.rawValue }
            #expect(status[index] == Answer(.ok, bytesWritten: bytes))
            let pages = Set(data.flatMap { $0.lower..<$0.upper })
            #expect(bench.pages(writtenBy: UInt64(index + 1)).written == pages)
        }
        let asked = Set(requests.joined().flatMap { $0.lower..<$0.upper })
        let left = Set(bench.dataPages.lower..<bench.dataPages.upper).subtracting(asked)
        #expect(bench.pages(writtenBy: 1).untouched == left)
        #expect(bench.pinsInFlight == 0)
        #expect(try bench.strategy.audit() == nil)
    }

    @Test func leavesOneSampleEach() throws {
        let bench = try Bench(RangeTree.self)
        try bench.convert(range(16..<20), to: .shared)
        _ = try bench.serve([[range(16..<20)], [range(18..<22)]])
        let samples = bench.takeSamples()
        #expect(samples.map(\.generation) == [1, 2])
        #expect(samples.map(\.bytes) == [4 * pageSize, 0])
        #expect(samples.map(\.status) == [0, RequestOutcome.privatePage.rawValue])
        #expect(samples.map(\.firstGFN) == [0, 20])
        #expect(samples.allSatisfy { $0.stalePages == 0 && $0.retries == 0 })
        let first = samples[0]
        #expect(first.totalTicks >= first.pinTicks + first.writeTicks + first.unpinTicks)
    }

    /// A guest that names a page it has not shared: refused with that page, nothing written, nothing pinned.
    @Test(arguments: Candidate.safe)
    func refusesAPrivatePage(_ candidate: Candidate) throws {
        let ranges = [range(20..<24), range(30..<34)]
        for hole in ranges.flatMap({ $0.lower..<$0.upper }) {
            let bench = try Bench(candidate.type)
            bench.fill()
            try bench.convert(range(16..<64), to: .shared)
            try bench.convert(page(hole), to: .private)
            let status = try bench.serve([ranges, [range(40..<44)]])
            #expect(status[0] == Answer(.privatePage, gfn: GFN(hole)))
            #expect(bench.pages(writtenBy: 1).written.isEmpty)
            // The next request is served as if nothing had been.
            #expect(status[1] == Answer(.ok, bytesWritten: 4 * pageSize))
            let pages = bench.pages(writtenBy: 2)
            #expect(pages.written == [40, 41, 42, 43])
            #expect(pages.untouched.count == Int(bench.dataPages.count.rawValue) - 4)
            #expect(bench.pinsInFlight == 0)
            #expect(try bench.strategy.audit() == nil)
        }
    }

    @Test func refusesWhollyPrivateData() throws {
        let bench = try Bench(RangeTree.self)
        #expect(
            try bench.serve([[range(16..<64)]]) == [Answer(.privatePage, gfn: GFN(16))])
    }

    @Test(arguments: Candidate.safe)
    func withoutAWriterPinsAndUnpinsOnly(_ candidate: Candidate) throws {
        let bench = try Bench(candidate.type)
        bench.fill()
        try bench.convert(range(16..<20), to: .shared)
        var options = Bench.Options()
        options.writes = false
        let status = try bench.serve([[range(16..<20)], [range(18..<22)]], options)
        #expect(
            status == [Answer(.ok), Answer(.privatePage, gfn: GFN(20))])
        #expect(bench.pages(writtenBy: 1).untouched.count == Int(bench.dataPages.count.rawValue))
        #expect(bench.pinsInFlight == 0)
    }

    // MARK: More ranges than a pin has

    /// Pinned with several pins: all of them, and all given back; or none, whichever refuses.
    @Test(arguments: Candidate.safe)
    func aLongListTakesSeveralPins(_ candidate: Candidate) throws {
        let count = 2 * Pin.rangeLimit + 3
        let bench = try Bench(
            candidate.type, pages: 8192, queueSize: 4096, dataDescriptors: count)
        let first: UInt64 = 512
        try #require(bench.queueArea.upper <= first)
        let list = (0..<UInt64(count)).map { page(first + 2 * $0) }
        try bench.convert(range(first..<8192), to: .shared)
        #expect(
            try bench.serve([list]) == [Answer(.ok, bytesWritten: UInt64(count) * pageSize)])
        #expect(bench.pinsInFlight == 0)
        for place in [
            0, Pin.rangeLimit - 1, Pin.rangeLimit, 2 * Pin.rangeLimit - 1, count - 1,
        ] {
            try bench.convert(list[place], to: .private)
            #expect(
                try bench.serve([list]) == [Answer(.privatePage, gfn: list[place].start)],
                "range \(place)")
            #expect(bench.pinsInFlight == 0)
            try bench.convert(list[place], to: .shared)
        }
        #expect(try bench.strategy.audit() == nil)
    }

    // MARK: Chunks

    /// Every chunk size, every private page: all chunks before that of the page are written, none behind.
    @Test(arguments: Candidate.safe)
    func stopsAtTheFirstPrivateChunk(_ candidate: Candidate) throws {
        let data = [range(20..<23), range(30..<35)]
        let pages = data.flatMap { Array($0.lower..<$0.upper) }
        let bench = try Bench(candidate.type)
        try bench.convert(range(16..<64), to: .shared)
        for chunk in 1...9 {
            for (place, hole) in pages.enumerated() {
                bench.fill()
                try bench.convert(page(hole), to: .private)
                var options = Bench.Options()
                options.chunk = UInt64(chunk)
                let status = try bench.serve([data], options)
                let done = place / chunk * chunk
                #expect(
                    status == [
                        Answer(
                            .privatePage, gfn: GFN(hole), bytesWritten: UInt64(done) * pageSize)
                    ], "chunk \(chunk), private \(hole)")
                let found = bench.pages(writtenBy: 1)
                #expect(found.written == Set(pages.prefix(done)))
                #expect(found.untouched.count == Int(bench.dataPages.count.rawValue) - done)
                #expect(bench.pinsInFlight == 0)
                try bench.convert(page(hole), to: .shared)
            }
        }
    }

    @Test func writesAllChunks() throws {
        let data = [range(20..<23), page(25), range(30..<35)]
        let bench = try Bench(PerPage.self)
        try bench.convert(range(16..<64), to: .shared)
        for chunk in 1...10 as ClosedRange<UInt64> {
            bench.fill()
            var options = Bench.Options()
            options.chunk = chunk
            #expect(
                try bench.serve([data], options) == [Answer(.ok, bytesWritten: 9 * pageSize)])
            #expect(
                bench.pages(writtenBy: 1).written == Set(data.flatMap { $0.lower..<$0.upper }))
        }
    }

    // MARK: The limit

    /// Refused as a whole, with a code of its own; in chunks that fit it is carried out.
    @Test(arguments: Candidate.safe)
    func refusesWhatIsAboveTheLimit(_ candidate: Candidate) throws {
        let bench = try Bench(candidate.type)
        bench.fill()
        try bench.convert(range(16..<64), to: .shared)
        var options = Bench.Options()
        options.pinLimit = PageCount(6)
        let above = [range(16..<20), page(30), range(40..<42)]
        let requests = [above, [range(16..<22)], [range(16..<23)], [page(50)]]
        let status = try bench.serve(requests, options)
        #expect(status[0] == Answer(.overLimit))
        #expect(status[1] == Answer(.ok, bytesWritten: 6 * pageSize))
        #expect(status[2] == Answer(.overLimit))
        #expect(status[3] == Answer(.ok, bytesWritten: pageSize))
        #expect(bench.pages(writtenBy: 1).written.isEmpty)
        #expect(bench.pages(writtenBy: 3).written.isEmpty)
        #expect(bench.takeSamples().map(\.status) == [6, 0, 6, 0])
        #expect(bench.pinsInFlight == 0)

        options.chunk = 3
        #expect(
            try bench.serve([above], options) == [Answer(.ok, bytesWritten: 7 * pageSize)])
        #expect(bench.pinsInFlight == 0)
        #expect(try bench.strategy.audit() == nil)
    }

    // MARK: The hot pair

    @Test(arguments: Candidate.safe)
    func hotPairLeavesNothing(_ candidate: Candidate) throws {
        let bench = try Bench(candidate.type)
        bench.fill()
        let driver = bench.makeDriver()
        #expect(driver.outstanding == 0)
        var loop = try bench.makeLoop()
        let refused = loop.hotPair([range(16..<20)])
        #expect(refused == nil)
        #expect(bench.pinsInFlight == 0)
        try bench.convert(range(16..<20), to: .shared)
        let pair = loop.hotPair([range(16..<20)])
        let hot = try #require(pair)
        #expect(hot.nanoseconds > 0)
        #expect(bench.pinsInFlight == 0)
        #expect(bench.pages(writtenBy: 0).untouched.count == Int(bench.dataPages.count.rawValue))
        #expect(bench.takeSamples().isEmpty)
    }
}
