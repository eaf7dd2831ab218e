import DmaStatistics
import GuestMemory
import Synchronization
import Telemetry
import Testing
import Trace
import Virtqueue

@testable import Guest

/// A trace through a driver: what a device gets, and when. Time is made up, and everything runs on one thread.
@Suite struct ReplayTests {
    /// Requests of any size, at any addresses, of which no two neighbours touch: a device gets them as they are.
    private static func trace(_ count: Int, seed: UInt64 = 1) -> Trace {
        var random = SplitMix64(seed: seed)
        var trace = Trace()
        var due: UInt64 = 0
        for _ in 0..<count {
            var segments: [TraceSegment] = []
            for _ in 0...random.below(random.below(4) == 0 ? 126 : 3) {
                let address = random.below(1 << 26)
                if let last = segments.last, last.address + last.byteCount == address { continue }
                segments.append(
                    TraceSegment(address: address, byteCount: 1 + random.below(9000)))
            }
            trace.append(due: due, random.below(2) == 0 ? .read : .write, segments)
            // Some at once.
            if random.below(3) > 0 { due += random.below(1_000_000) }
        }
        return trace
    }

    private struct Seen: Equatable {
        let isWrite: Bool
        let runs: [ByteRun]
        /// In ticks from when the measurement began.
        let time: UInt64

        init(_ request: borrowing DeviceRequest, _ time: UInt64) {
            isWrite = request.type == .in
            runs = (0..<request.segmentCount).map {
                let segment = request.segment($0)
                return ByteRun(address: segment.address, byteCount: UInt32(segment.byteCount))
            }
            self.time = time
        }
    }

    /// What the device gets that is measured; it takes `service` ticks for each request, one at a time.
    private func replay(
        _ layout: TraceLayout, speed: Double = 1, requests: Int = 128, isRepeated: Bool = false,
        _ control: TurnControl = TurnControl(), warmUp: Int = 0, service: UInt64 = 0,
        _ check: (Driver) -> Void = { _ in }
    ) throws -> [Seen] {
        let map = try MemoryMap(layout, requests: requests, total: nil)
        let view = try memory(of: map)
        let signals = TestSignals(isSettled: warmUp == 0)
        let driver = try Driver(
            of: 0, map: map, view: view, control: control, signals: signals.signals,
            clock: testClock,
            pace: TracePace(layout, speed: speed, isRepeated: isRepeated, clock: testClock),
            depth: requests, trace: layout)
        let end = QueueEnd(map, 0, in: view)
        var (seen, start, unmeasured): ([Seen], UInt64?, Int) = ([], nil, 0)
        var now: UInt64 = 1000
        var isBusyUntil: UInt64?
        while true {
            let step = driver.step(Moment(now: now))
            if step == .done { break }
            if start == nil, signals.measuresFrom.load(ordering: .relaxed) != .max { start = now }
            if let time = isBusyUntil, time <= now {
                end.complete(.ok)
                isBusyUntil = nil
            }
            if isBusyUntil == nil, end.next() == .valid {
                isBusyUntil = now + service
                if end.request.sector >= signals.measuresFrom.load(ordering: .relaxed) {
                    seen.append(Seen(end.request, now - start!))
                } else {
                    unmeasured += 1
                    if unmeasured == warmUp { signals.isSettled.store(true, ordering: .relaxed) }
                }
            } else if case .idle(let due) = step {
                // Nothing to wait for: what the device has completed is not taken yet.
                let next = min(due, isBusyUntil ?? due)
                now = next == .max ? now + 1 : max(now + 1, next)
            }
        }
        #expect(unmeasured == warmUp || warmUp == 0)
        check(driver)
        withExtendedLifetime(view) {}
        return seen
    }

    private func expect(
        _ seen: [Seen], are layout: TraceLayout, count: Int? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(seen.count == count ?? layout.count, sourceLocation: sourceLocation)
        for (number, one) in seen.enumerated() {
            let index = number % layout.count
            #expect(
                one.isWrite == (layout[index].direction == .write)
                    && one.runs == Array(layout.runs(of: index)), "request \(number)",
                sourceLocation: sourceLocation)
        }
    }

    private func ticks(_ nanoseconds: Double) -> UInt64 {
        UInt64(nanoseconds / testClock.nanosecondsPerTick)
    }

    /// One by one, each at its time: a device that is fast enough gets them to a few steps of the driver.
    @Test(arguments: [1.0, 2.0]) func aReplayedTraceIsTheRecordedOne(_ speed: Double) throws {
        let layout = TraceLayout(Self.trace(200))
        let seen = try replay(layout, speed: speed) { driver in
            var figures = TraceFigures()
            let isTraced = driver.addTrace(to: &figures)
            #expect(isTraced && figures.inRequests + figures.outRequests == 200)
            let bytes = figures.inBytes + figures.outBytes
            #expect(bytes == layout.byteCount)
            let most = figures.segments.maximum
            #expect(most == UInt64(layout.longestChain))
        }
        expect(seen, are: layout)
        for (index, one) in seen.enumerated() {
            let due = ticks(Double(layout[index].due) / speed)
            #expect(one.time + 1 >= due && one.time < due + 2000, "request \(index)")
        }
    }

    /// Those of the warm-up are others: what is measured begins with the trace's first.
    @Test func theWarmUpIsNoPartOfIt() throws {
        let layout = TraceLayout(Self.trace(50))
        expect(try replay(layout, warmUp: 7), are: layout)
        expect(try replay(layout, warmUp: 120), are: layout)
    }

    /// A device that is too slow gets them all the same, and the latency counts from when each was due.
    @Test func aSlowDeviceIsLate() throws {
        let layout = TraceLayout(Self.trace(100))
        let service = ticks(2_000_000)
        let seen = try replay(layout, service: service) { driver in
            var log = DueLog()
            let isPaced = driver.addDues(to: &log)
            let (median, backlog) = (log.latency.percentile(50), log.longestBacklog)
            // A hundred of 2 ms each, in some 30 ms.
            #expect(isPaced && median! > 50_000_000)
            // All of them have room in the queue: only those that are due at once wait for each other.
            #expect(backlog < 20)
        }
        expect(seen, are: layout)
        #expect(seen.last!.time >= 99 * service)
    }

    @Test func atFullSpeedTheNextComesAsSoonAsThereIsRoom() throws {
        let layout = TraceLayout(Self.trace(100))
        for requests in [1, 4] {
            let seen = try replay(layout, speed: .infinity, requests: requests, service: 1000)
            expect(seen, are: layout)
            #expect(seen.last!.time < 100 * 1000 + 100 * 50)
        }
    }

    /// Where more requests are asked for than there are, it begins anew.
    @Test func itIsRepeatedAsOftenAsIsAskedFor() throws {
        let layout = TraceLayout(Self.trace(40))
        for speed in [1.0, .infinity] {
            let seen = try replay(
                layout, speed: speed, isRepeated: true,
                TurnControl(operations: 100, isExact: true))
            expect(seen, are: layout, count: 100)
            #expect(zip(seen, seen.dropFirst()).allSatisfy { $0.time <= $1.time })
        }
    }

    /// Against a walk through all times, in one pass and over several.
    @Test(arguments: [false, true]) func whatIsDueAndNotTakenWaits(_ isRepeated: Bool) {
        let layout = TraceLayout(Self.trace(300))
        var pace = TracePace(layout, speed: 2, isRepeated: isRepeated, clock: testClock)
        pace.begin(at: 500)
        let count = isRepeated ? 1000 : 300
        var times = pace
        // With some behind the last that is looked for, which may be due at once with it.
        let dues = (0..<(isRepeated ? count + 300 : count)).map { _ in
            defer { times.take() }
            return times.due(after: 0)!
        }
        for taken in 0..<200 as Range<Int> {
            for now in [dues[taken], dues[taken] + 1, dues[taken * 7 % count], dues[count - 2]]
            where now >= dues[taken] {
                #expect(pace.waiting(at: now) == UInt64(dues.count { $0 <= now } - taken))
            }
            pace.take()
        }
        #expect(pace.waiting(at: 0) == 0)
    }

    @Test func aSingleRequestIsATrace() throws {
        var trace = Trace()
        trace.append(due: 0, .write, [TraceSegment(address: 5, byteCount: 1)])
        let layout = TraceLayout(trace)
        expect(try replay(layout), are: layout)
        let control = TurnControl(operations: 3, isExact: true)
        expect(try replay(layout, isRepeated: true, control), are: layout, count: 3)
    }
}
