import GuestMemory
import Settings
import Telemetry
import Testing
import Virtqueue

@testable import Guest

/// When requests are due, and what becomes of those that are late. Time is made up: steps are told what the present is.
@Suite struct PaceTests {
    private func ticks(_ nanoseconds: UInt64) -> UInt64 {
        testClock.ticks(fromNanoseconds: nanoseconds)
    }

    private func openLoop(
        _ rate: Double, _ arrivals: Arrivals = .fixed, device: Int = 0, seed: UInt64 = 1
    ) -> OpenLoop {
        OpenLoop(rate: rate, arrivals: arrivals, device: device, seed: seed, clock: testClock)
    }

    /// The first times of a loop, in ticks from its start.
    private func times(_ loop: OpenLoop, _ count: Int) -> [UInt64] {
        var loop = loop
        loop.begin(at: 0)
        return (0..<count).map { _ in
            defer { loop.take() }
            return loop.due(after: 0)!
        }
    }

    @Test func fixedArrivalsAreAtEqualDistances() {
        let found = times(openLoop(1000), 1000).map { testClock.nanoseconds(from: $0) as Double }
        for (index, time) in found.enumerated() {
            #expect(abs(time - Double(index + 1) * 1e6) < 2)
        }
    }

    /// Exponential distances have a deviation as large as their mean; of 20,000 both are known to some per cent.
    @Test func poissonArrivalsAreIndependent() {
        let found = times(openLoop(1000, .poisson), 20_000).map {
            testClock.nanoseconds(from: $0) as Double
        }
        let gaps = zip([0] + found, found).map { $1 - $0 }
        let mean = gaps.reduce(0, +) / Double(gaps.count)
        let variance =
            gaps.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(gaps.count)
        #expect(abs(mean / 1e6 - 1) < 0.04)
        #expect(abs(variance.squareRoot() / 1e6 - 1) < 0.06)
        #expect(gaps.allSatisfy { $0 >= 0 })
    }

    /// A turn can be repeated; another seed has other times, and so has another device.
    @Test func timesFollowFromTheSeed() {
        let one = times(openLoop(1000, .poisson), 10)
        #expect(one == times(openLoop(1000, .poisson), 10))
        #expect(one != times(openLoop(1000, .poisson, seed: 2), 10))
        #expect(one != times(openLoop(1000, .poisson, device: 1), 10))
    }

    @Test(arguments: [Arrivals.fixed, .poisson])
    func whatIsDueAndNotTakenWaits(arrivals: Arrivals) {
        var loop = openLoop(1000, arrivals)
        let known = times(loop, 50)
        loop.begin(at: 1000)
        #expect(loop.waiting(at: 1000) == 0)
        for now in stride(from: UInt64(0), to: known[40], by: Int(ticks(200_000))) {
            #expect(loop.waiting(at: 1000 + now) == UInt64(known.count { $0 <= now }))
        }
        for _ in 0..<10 { loop.take() }
        let now = known[30]
        #expect(loop.waiting(at: 1000 + now) == UInt64(known.count { $0 <= known[40] }) - 11)
    }

    /// However much falls due at once: all of it waits, to one that may lie on the moment itself.
    @Test func aMillionMayWait() {
        for rate in [1e6, 999_983] {
            var loop = openLoop(rate)
            loop.begin(at: 1000)
            for seconds in [1, 1.5, 1.5, 100] {
                let waiting = loop.waiting(at: 1000 + ticks(UInt64(seconds * 1e9)))
                #expect(abs(Double(waiting) - seconds * rate) <= 1)
            }
        }
    }

    /// At the end of a turn even what has to be walked to is counted.
    @Test(arguments: [Arrivals.fixed, .poisson])
    func whatWaitsAtTheEndIsCounted(arrivals: Arrivals) {
        func backlog(left: UInt64) -> UInt64 {
            var paced = PacedRequests(openLoop(1e6, arrivals), places: 1, clock: testClock)
            let start = ticks(1_000_000)
            let first = paced.next(at: start)!
            paced.take(place: 0, due: first, at: first)
            paced.finish(at: start + ticks(1_000_000_000), left: left)
            var log = DueLog()
            paced.add(to: &log)
            return log.longestBacklog
        }
        #expect(abs(Double(backlog(left: .max)) - 1e6) < 5000)
        #expect(backlog(left: 70_000) == 70_000 && backlog(left: 0) == 0)
    }

    /// Where the requests are counted, no more wait than were to be sent, however long the last one takes.
    @Test(arguments: [(1, 0), (2, 0), (5, 3)] as [(UInt64, UInt64)])
    func nobodyWaitsThatIsNeverSent(operations: UInt64, waiting: UInt64) throws {
        let seen = try run(
            openLoop(1e5), steps: 30_000, every: 4000,
            control: TurnControl(operations: operations, isExact: true))
        #expect(seen.count == operations && seen.longestBacklog == waiting)
    }

    @Test func aClosedLoopPauses() {
        var loop = ClosedLoop(pause: 100)
        loop.begin(at: 1000)
        #expect(loop.due(after: 10) == 1000)
        #expect(loop.due(after: 2000) == 2100)
        #expect(loop.waiting(at: 5000) == 0)
    }

    // MARK: Drivers with a pace

    /// What became of a driver's requests, where the present moves on a step at a time.
    private struct Seen {
        var count: UInt64 = 0
        /// From due, in nanoseconds, by per cent; 100 is the longest.
        var fromDue: [Double: UInt64] = [:]
        var longestBacklog: UInt64 = 0
        /// As somebody would have them who counts from when a request was submitted, in steps.
        var fromSubmission: [Int] = []
        /// When requests were submitted, in steps from the first moment.
        var submissions: [Int] = []
        var mostInFlight = 0
    }

    /// A step is 10 us. The device takes a request every so many of them, but where it is stalled.
    private func run(
        _ pace: any RequestPace, depth: Int = 1, steps: Int, every service: Int = 1,
        control: TurnControl = TurnControl(),
        isStalled: (Int) -> Bool = { _ in false }
    ) throws -> Seen {
        let map = try smallMap(devices: 1, requests: depth)
        let view = try memory(of: map)
        let driver = try Driver(
            of: 0, map: map, view: view, control: control, signals: TestSignals().signals,
            clock: testClock, pace: pace, depth: depth)
        let device = QueueEnd(map, 0, in: view)
        var seen = Seen()
        for time in 0..<steps {
            // Until the driver has nothing to do at that moment.
            while true {
                let before = driver.generation
                let answer = driver.step(Moment(now: step * UInt64(time + 1)))
                if driver.generation > before { seen.submissions.append(time) }
                let inFlight = seen.submissions.count - seen.fromSubmission.count
                seen.mostInFlight = max(seen.mostInFlight, inFlight)
                if case .idle = answer { break }
                if answer == .done { break }
            }
            guard !isStalled(time), time % service == 0, case .valid = device.next() else {
                continue
            }
            device.complete(.ok)
            seen.fromSubmission.append(time + 1 - seen.submissions[seen.fromSubmission.count])
        }
        var log = DueLog()
        let hasPace = driver.addDues(to: &log)
        #expect(hasPace)
        (seen.count, seen.longestBacklog) = (log.latency.count, log.longestBacklog)
        for percent in [50.0, 83, 90, 95, 99, 100] {
            seen.fromDue[percent] = log.latency.percentile(percent)
        }
        return seen
    }

    private var step: UInt64 { ticks(10_000) }

    /// A device stalled for 100 ms at 1,000 requests a second: what falls due meanwhile has 0 to 100 ms, a hundred requests
    /// evenly spread. Who counts from the submission sees one that is late.
    @Test func requestsAreLateFromWhenTheyWereDue() throws {
        let seen = try run(
            openLoop(1000), steps: 60_000, isStalled: { (20_050..<30_050).contains($0) })
        #expect((598...600).contains(seen.count))
        // A sixth of all was late: 100 of 600.
        for (percent, milliseconds) in [(83.0, 0.0), (90, 40), (95, 70), (99, 94), (100, 99.5)] {
            let found = Double(try #require(seen.fromDue[percent])) / 1e6
            #expect(abs(found - milliseconds) < 2, "\(percent) %: \(found) ms")
        }
        #expect((97...99).contains(seen.longestBacklog))
        // The broken twin.
        #expect(seen.fromSubmission.count { $0 > 100 } == 1)
    }

    /// As long as requests come in time nothing waits, and each is submitted when it is due.
    @Test func requestsComeWhenTheyAreDue() throws {
        let loop = openLoop(100)
        let seen = try run(loop, steps: 50_000)
        let due = times(loop, seen.submissions.count)
        #expect((49...50).contains(due.count))
        for (submitted, due) in zip(seen.submissions, due) {
            let late = Double(UInt64(submitted) * step) - Double(due)
            #expect(late >= 0 && late <= Double(step))
        }
        #expect(seen.longestBacklog == 0)
        #expect(seen.fromDue[100]! < 30_000)
    }

    /// Requests of the warm-up are as many as may be in flight; the first that is measured waits for none of them, and
    /// what is measured begins there.
    @Test func theWarmUpIsOverBeforeTheFirstIsDue() throws {
        let depth = 4
        let map = try smallMap(devices: 1, requests: depth)
        let view = try memory(of: map)
        let signals = TestSignals(isSettled: false)
        let control = TurnControl()
        let driver = try Driver(
            of: 0, map: map, view: view, control: control, signals: signals.signals,
            clock: testClock, pace: openLoop(1000, .fixed), depth: depth)
        let device = QueueEnd(map, 0, in: view)
        var now = step
        func drive() {
            while case .worked = driver.step(Moment(now: now)) {}
            now += step
        }
        drive()
        #expect(driver.generation == UInt64(depth))
        signals.isSettled.store(true, ordering: .releasing)
        for left in (0..<depth).reversed() {
            guard case .valid = device.next() else { throw Missing() }
            device.complete(.ok)
            drive()
            #expect(driver.generation == UInt64(depth))
            #expect((driver.measuredNanoseconds > 0) == false, "\(left) in flight")
        }
        // From then on the pace runs: the first one is due after an interval.
        let begun = now - step
        while driver.generation == UInt64(depth), now < begun + ticks(3_000_000) { drive() }
        #expect(signals.measuresFrom.load(ordering: .relaxed) == UInt64(depth) + 1)
        #expect(Double(now - begun) - Double(ticks(1_000_000)) < 3 * Double(step))
        guard case .valid = device.next() else { throw Missing() }
        device.complete(.ok)
        control.end()
        let last = now
        drive()
        // And so does the time by which a device's work is divided: it contains the wait.
        let measured = driver.measuredNanoseconds
        #expect(abs(measured - testClock.nanoseconds(from: last - begun)) < 1000)
        #expect(measured > 999_000)
    }

    private struct Missing: Error {}

    /// So many requests are in flight, and no more, however many are due.
    @Test(arguments: [1, 2, 7])
    func asManyAreInFlightAsMayBe(depth: Int) throws {
        for pace in [openLoop(1e5), ClosedLoop(pause: 0)] as [any RequestPace] {
            let seen = try run(pace, depth: depth, steps: 2000, every: 5)
            #expect(seen.mostInFlight == depth)
            #expect(seen.fromSubmission.count > 300)
        }
    }

    /// Where a closed loop pauses, so long lies between the end of a request and the next one.
    @Test func theDeviceHasItsPause() throws {
        let seen = try run(ClosedLoop(pause: 50 * step), steps: 10_000)
        let gaps = zip(seen.submissions, seen.submissions.dropFirst()).map { $1 - $0 }
        #expect(gaps.count > 150)
        // The request itself takes a step.
        #expect(gaps.allSatisfy { (50...52).contains($0) })
        #expect(seen.longestBacklog == 0)
    }

    /// A queue with room for several requests says which of them came back, in whatever order that is.
    @Test func countsEachRequestFromItsOwnTime() throws {
        var paced = PacedRequests(openLoop(1000), places: 2, clock: testClock)
        let start = ticks(1_000_000)
        let first = paced.next(at: start)!
        paced.take(place: 1, due: first, at: first)
        let second = paced.next(at: first)!
        paced.take(place: 0, due: second, at: second)
        paced.end(place: 0, at: second + ticks(1000), counts: true)
        paced.end(place: 1, at: second + ticks(1000), counts: true)
        var log = DueLog()
        paced.add(to: &log)
        let (least, most) = (log.latency.percentile(0)!, log.latency.maximum!)
        #expect(abs(Double(least) - 1000) < 10 && abs(Double(most) - 1_001_000) < 2000)
        // What was not measured, or not completed, has no time.
        paced.take(place: 0, due: second, at: second)
        paced.end(place: 0, at: second, counts: false)
        var again = DueLog()
        paced.add(to: &again)
        let count = again.latency.count
        #expect(count == 2)
    }
}
