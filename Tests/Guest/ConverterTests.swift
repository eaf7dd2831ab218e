import DmaLinux
import GuestMemory
import Settings
import Testing

@testable import Guest

@Suite struct ConverterTests {
    private static let rate = 1_000_000.0

    /// What a converter asked of its hypervisor in steps of a microsecond, until it had made `count` calls and put back
    /// what was away. With `looks` an answer takes so many steps more.
    private func calls(
        _ map: MemoryMap, _ place: ConversionPlace, pages: UInt64 = 1, seed: UInt64 = 1,
        count: Int = 400, rate: Double = rate, looks: Int = 0,
        denies: @escaping (Int, PageRange, Bool) -> Bool = { _, _, _ in false }
    ) throws -> [RecordingHypervisor.Call] {
        let home = map.buffers.flatMap(\.ranges) + map.queueAreas
        let hypervisor = RecordingHypervisor(shared: home, looks: looks, denies: denies)
        let control = TurnControl()
        // Nobody drives a device: the measurement has begun all the same.
        control.noteSettled()
        #expect(control.mayMeasure(1))
        let converter = Converter(
            map: map, rate: rate, pages: PageCount(pages), place: place, seed: seed,
            clock: testClock, hypercalls: hypervisor, control: control)
        var now = Self.begin
        let tick = UInt64(1000 / testClock.nanosecondsPerTick)
        while hypervisor.calls.count < count {
            #expect(converter.step(Moment(now: now)) != .done)
            now += tick
        }
        control.end()
        for _ in 0..<2 * map.pages.rawValue where converter.step(Moment(now: now)) != .done {
            now += tick
        }
        #expect(converter.step(Moment(now: now)) == .done)
        #expect(hypervisor.shared == RecordingHypervisor.pages(of: home), "\(place) came home")
        return hypervisor.calls
    }

    private static let begin: UInt64 = 1_000_000

    private func isInside(_ range: PageRange, _ map: MemoryMap) -> Bool {
        map.buffers.contains { $0.ranges.contains { $0.contains(range) } }
    }

    @Test(arguments: ConversionPlace.allCases, [1, 2, 3, 4] as [UInt64])
    func asksOnlyForWhatMakesSense(_ place: ConversionPlace, pages: UInt64) throws {
        let map = try smallMap()
        let calls = try calls(map, place, pages: pages)
        #expect(calls.allSatisfy { $0.answer == .done })
        #expect(calls.allSatisfy { $0.range.count.rawValue == pages })
        // Each page that leaves home comes back with the next call.
        for (out, back) in zip(calls, calls.dropFirst()).enumerated().filter({ $0.offset % 2 == 0 })
            .map(\.element)
        {
            #expect(out.range == back.range && out.toPrivate != back.toPrivate)
        }
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func staysWhereItIsTold(pages: UInt64) throws {
        let map = try smallMap()
        let inside = try calls(map, .inside, pages: pages)
        #expect(inside.allSatisfy { isInside($0.range, map) })
        let outside = try calls(map, .outside, pages: pages)
        #expect(outside.allSatisfy { map.free.contains($0.range) })
        let mixed = try calls(map, .mixed, pages: pages)
        #expect(mixed.allSatisfy { isInside($0.range, map) || map.free.contains($0.range) })
        #expect(mixed.contains { isInside($0.range, map) })
        #expect(mixed.contains { map.free.contains($0.range) })
    }

    @Test func takesPagesOfBuffersPrivateAndFreePagesShared() throws {
        let map = try smallMap()
        for (place, isPrivateFirst) in [(ConversionPlace.inside, true), (.outside, false)] {
            let directions = try calls(map, place).map(\.toPrivate)
            #expect(directions.enumerated().allSatisfy { ($0 % 2 == 0) == ($1 == isPrivateFirst) })
        }
    }

    /// Free memory does not start at a multiple of the size; the conversions do.
    @Test(arguments: [1, 2, 3, 8, 512, 8192] as [UInt64])
    func outsideIsAlignedToItsSize(pages: UInt64) throws {
        let map = try smallMap(misalignment: 3)
        let calls = try calls(map, .outside, pages: pages, count: 100)
        #expect(calls.allSatisfy { $0.range.lower % pages == 0 })
    }

    @Test func insideIsAlignedWithinItsRange() throws {
        let map = try smallMap(devices: 2, pagesPerRange: 16, ranges: 3, misalignment: 1)
        for pages in [1, 2, 3, 4, 5, 16] as [UInt64] {
            for call in try calls(map, .inside, pages: pages, count: 200) {
                let range = map.buffers.flatMap(\.ranges).first { $0.contains(call.range) }
                let start = try #require(range).lower
                #expect((call.range.lower - start) % pages == 0)
            }
        }
    }

    @Test func reachesEveryPlace() throws {
        let map = try smallMap()
        let pages = Set(try calls(map, .inside, count: 2000).map(\.range.lower))
        #expect(pages == RecordingHypervisor.pages(of: map.buffers.flatMap(\.ranges)))
        let quarters = Set(
            try calls(map, .outside, count: 400).map {
                ($0.range.lower - map.free.lower) * 4 / map.free.count.rawValue
            })
        #expect(quarters == [0, 1, 2, 3])
    }

    @Test(arguments: ConversionPlace.allCases)
    func repeatsWithItsSeed(_ place: ConversionPlace) throws {
        struct Step: Equatable {
            let range: PageRange
            let toPrivate: Bool
        }
        let map = try smallMap()
        func steps(_ seed: UInt64) throws -> [Step] {
            try calls(map, place, seed: seed).prefix(400).map {
                Step(range: $0.range, toPrivate: $0.toPrivate)
            }
        }
        #expect(try steps(7) == steps(7))
        #expect(try steps(7) != steps(8))
    }

    /// An open loop: what is late, or denied, moves no later due time.
    @Test(arguments: [1000, 12_345, 1_000_000, 10_000_000] as [Double])
    func isDueAtItsRateWhateverTheAnswers(rate: Double) throws {
        let map = try smallMap()
        let free = map.free
        let calls = try calls(map, .mixed, count: 50, rate: rate) { number, range, toPrivate in
            toPrivate && !free.overlaps(range) && number % 3 == 0
        }
        let due = calls.prefix(50).map(\.due)
        let interval = 1e9 / rate / testClock.nanosecondsPerTick
        for (index, time) in due.enumerated() {
            #expect(abs(Double(time - Self.begin) - Double(index + 1) * interval) <= 1)
        }
    }

    /// Pages that devices hold are denied; the guest goes on with others and loses none.
    @Test func goesOnWhereItIsDenied() throws {
        let map = try smallMap()
        let held = map.buffers[0].span
        let calls = try calls(map, .mixed, count: 1000) { _, range, toPrivate in
            toPrivate && held.overlaps(range)
        }
        #expect(calls.contains { $0.answer == .pinned($0.range.start) })
        #expect(calls.allSatisfy { if case .refused = $0.answer { false } else { true } })
        #expect(calls.contains { $0.answer == .done && map.buffers[1].span.contains($0.range) })
    }

    /// A page whose way home is barred is asked for again until it is home.
    @Test func asksAgainForThePageThatIsAway() throws {
        let map = try smallMap()
        let calls = try calls(map, .outside, count: 40) { number, _, toPrivate in
            toPrivate && (1...9).contains(number)
        }
        let first = calls[0].range
        #expect(calls[1...10].allSatisfy { $0.range == first && $0.toPrivate })
        #expect(calls[10].answer == .done)
    }

    /// While one is under way nothing else is asked; what falls due meanwhile is late.
    @Test(arguments: [1, 5, 40])
    func asksOneAtATime(looks: Int) throws {
        let calls = try calls(try smallMap(), .mixed, count: 60, looks: looks)
        let interval = 1e9 / Self.rate / testClock.nanosecondsPerTick
        for (index, call) in calls.prefix(60).enumerated() {
            let offset = Double(call.due - Self.begin)
            #expect(abs(offset - Double(index + 1) * interval) <= 1)
        }
    }

    @Test func givesUpWhatIsUnderWayAtTheEnd() throws {
        let map = try smallMap()
        let hypervisor = RecordingHypervisor(shared: map.buffers.flatMap(\.ranges), looks: .max)
        let control = TurnControl()
        control.noteSettled()
        #expect(control.mayMeasure(1))
        let converter = Converter(
            map: map, rate: .infinity, pages: PageCount(1), place: .inside, seed: 1,
            clock: testClock, hypercalls: hypervisor, control: control)
        for now in 1...100 { #expect(converter.step(Moment(now: UInt64(now))) != .done) }
        control.end()
        #expect(converter.step(Moment(now: 101)) != .done)
        #expect(converter.step(Moment(now: 102)) == .done)
        #expect(hypervisor.abandoned == 1 && hypervisor.calls.isEmpty)
    }

    @Test func waitsForTheMeasurement() throws {
        let hypervisor = RecordingHypervisor()
        let converter = Converter(
            map: try smallMap(), rate: .infinity, pages: PageCount(1), place: .outside, seed: 1,
            clock: testClock, hypercalls: hypervisor, control: TurnControl())
        for now in 1...100 {
            #expect(converter.step(Moment(now: UInt64(now))) == .idle(until: .max))
        }
        #expect(hypervisor.calls.isEmpty)
    }

    @Test func asksNothingWhereItShouldStopAtOnce() throws {
        #expect(try calls(try smallMap(), .mixed, count: 0).isEmpty)
    }

    @Test func knowsWhatFits() throws {
        let map = try smallMap(pagesPerRange: 4)
        func fits(_ pages: UInt64, _ place: ConversionPlace) -> Bool {
            Converter.fits(PageCount(pages), place: place, in: map)
        }
        let half = map.free.count.rawValue / 2
        #expect(fits(4, .inside) && !fits(5, .inside))
        #expect(fits(half, .outside) && !fits(half + 1, .outside))
        #expect(fits(4, .mixed) && !fits(5, .mixed))
        #expect(!fits(PageRange.frameLimit, .outside))
    }
}
