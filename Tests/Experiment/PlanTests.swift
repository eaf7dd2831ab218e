import DmaWriter
import Guest
import GuestMemory
import PinLock
import Settings
import Testing
import Trace

@testable import Experiment

/// A request of one small cell, for tests to change.
private func request(_ change: (inout Request) -> Void = { _ in }) -> Request {
    var request = Request()
    request.strategies = [RangeTree.self]
    request.sizes = [PageCount(16)]
    change(&request)
    return request
}

private func names(_ cells: some Sequence<Cell>) -> [String] {
    cells.map { $0.strategy.info.name }
}

@Suite struct PlanTests {
    @Test func isTheProductOfAllLists() throws {
        let plan = try Plan(
            request {
                $0.strategies = [None.self, PerPage.self]
                $0.sizes = [PageCount(16), PageCount(64), PageCount(256)]
                $0.chunks = [PageCount(4), PageCount(16)]
                $0.ranges = [1, 4]
                $0.misalignments = [PageCount(0), PageCount(3)]
                $0.devices = [1, 2]
                $0.engines = [.nt, .memset]
                $0.backings = [.memfd, .thp]
                $0.policies = [.deny, .wait]
                $0.convertRates = [0, 10]
                $0.convertPages = [PageCount(1), PageCount(2)]
                $0.rounds = 3
            })
        let groups = 3 * 2 * 2 * 2 * 2 * 2 * 2 * 2 * 2 * 2
        #expect(plan.groups.count == groups)
        #expect(plan.cells.count == 2 * groups)
        #expect(plan.turnCount == 3 * 2 * groups)
        #expect(Set(plan.cells.map(Description.init)).count == 2 * groups)
    }

    /// Everything that tells one cell from another.
    private struct Description: Hashable {
        let text: String

        init(_ cell: Cell) {
            let settings = cell.settings
            text = """
                \(cell.strategy.info.name) \(settings.backing) \(settings.size) \(settings.ranges) \
                \(settings.misalignment) \(settings.devices) \(cell.chunk) \(settings.engine) \(settings.policy) \
                \(settings.convertRate) \(settings.convertPages)
                """
        }
    }

    @Test func groupsDifferInTheStrategyAlone() throws {
        let plan = try Plan(
            request {
                $0.strategies = [None.self, PerPage.self, RangeTree.self]
                $0.sizes = [PageCount(16), PageCount(64)]
                $0.convertRates = [0, 10]
            })
        for group in plan.groups {
            #expect(names(group) == ["none", "perpage", "rangetree"])
            #expect(Set(group.map { "\($0.settings.size) \($0.settings.convertRate)" }).count == 1)
        }
    }

    @Test func misalignmentsMoveTheBuffers() throws {
        let plan = try Plan(request { $0.misalignments = [0, 1, 5].map { PageCount($0) } })
        #expect(plan.cells.map(\.settings.misalignment.rawValue) == [0, 1, 5])
        #expect(plan.cells.map { $0.map.buffers[0].span.lower % 16 } == [0, 1, 5])
    }

    @Test func withoutChunksIsTheWholeRequest() throws {
        let plan = try Plan(request { $0.sizes = [PageCount(16), PageCount(64)] })
        #expect(plan.cells.map(\.chunk) == [PageCount(16), PageCount(64)])
    }

    @Test func laysOutTheGuestOfEachShape() throws {
        let plan = try Plan(
            request {
                $0.ranges = [4]
                $0.devices = [3]
                $0.misalignments = [PageCount(1)]
                $0.settings.guestMemory = PageCount(1 << 20)
            })
        let map = plan.cells[0].map
        #expect(map.pages == PageCount(1 << 20))
        #expect(map.buffers.count == 3)
        #expect(map.buffers.allSatisfy { $0.rangeCount == 4 && $0.pagesPerRange == 4 })
        #expect(map.buffers[0].span.lower == 1)
    }

    /// A guest's fresh memory up to eight ranges, its used memory beyond; as it is said where it is said.
    @Test(
        arguments: [
            (1, 4, .usual, nil), (8, 1 << 12, .usual, nil), (9, 9, .usual, 1 << 18),
            (126, 126, .usual, 1 << 18), (16, 1 << 17, .usual, 1 << 19),
            (126, 126, .packed, nil), (2, 2, .over(PageCount(64)), 64),
            (1, 4, .over(PageCount(64)), nil),
        ] as [(Int, UInt64, Spread, UInt64?)])
    func manyRangesAreDrawn(ranges: Int, pages: UInt64, spread: Spread, area: UInt64?) throws {
        let cell = try Plan(
            request {
                $0.settings.ranges = ranges
                $0.sizes = [PageCount(pages)]
                $0.settings.spread = spread
            }
        ).cells[0]
        #expect(cell.settings.drawnFrom == area.map { PageCount($0) })
        #expect(area == nil || cell.map.buffers[0].span.count.rawValue == area)
        #expect(cell.map.buffers[0].ranges.count == ranges)
    }

    /// Only what goes through pools has them, and none is larger than its request.
    @Test func poolsAreTheStrategysOwn() throws {
        let plan = try Plan(
            request {
                $0.strategies = [RangeTree.self, Bounce.self]
                $0.sizes = [PageCount(16), PageCount(64)]
                $0.devices = [2]
                $0.settings.pool = PageCount(24)
            })
        #expect(plan.groups.map(names) == [["rangetree", "bounce"], ["rangetree", "bounce"]])
        #expect(plan.cells.map(\.pool) == [nil, PageCount(16), nil, PageCount(24)])
        for cell in plan.cells where cell.pool != nil {
            let map = cell.map
            #expect(map.buffers.map(\.pages) == [cell.pool, cell.pool])
            #expect(map.targets.map(\.pages) == [cell.settings.size, cell.settings.size])
        }
        let whole = try Plan(request { $0.strategies = [Bounce.self] })
        #expect(whole.cells.map(\.pool) == [PageCount(16)])
    }

    /// Whoever says that it needs a pool has one, and goes without where devices share a buffer.
    @Test(arguments: Registry.all.map { $0.info.name })
    func poolsAreForThoseWhoNeedThem(name: String) throws {
        let strategy = try #require(Registry.strategy(named: name))
        let plan = try Plan(request { $0.strategies = [strategy] })
        #expect((plan.cells[0].pool != nil) == strategy.info.needsPool)
        let shared = Result { () throws(UsageError) in
            try Plan(
                request {
                    $0.strategies = [strategy]
                    $0.devices = [2]
                    $0.settings.placement = .same
                })
        }
        switch shared {
        case .success: #expect(!strategy.info.needsPool)
        case .failure(let error):
            #expect(strategy.info.needsPool)
            #expect("\(error)".contains("strategy \(name) needs a pool"))
        }
    }

    /// Only what keeps pins has a limit: the one asked for, else the request.
    @Test func cachesAreTheStrategysOwn() throws {
        func caches(_ cache: PageCount?) throws -> [PageCount?] {
            try Plan(
                request {
                    $0.strategies = [LongLived.self, PinCache.self]
                    $0.sizes = [PageCount(16), PageCount(64)]
                    $0.settings.cache = cache
                }
            ).cells.map(\.settings.cache)
        }
        #expect(try caches(PageCount(24)) == [nil, PageCount(24), nil, PageCount(24)])
        #expect(try caches(nil) == [nil, PageCount(16), nil, PageCount(64)])
    }

    @Test(arguments: 1...6, [0, 1, 2, 7, 1 << 40] as [UInt64])
    func everyPlaceAndEveryNeighbourComesEquallyOften(count: Int, seed: UInt64) throws {
        let strategies: [any PinStrategy.Type] = [
            None.self, PerPage.self, RangeTree.self, LongLived.self, Slots.self, Epoch.self,
        ]
        let all = request {
            $0.strategies = Array(strategies.prefix(count))
            $0.settings.seed = seed
        }
        let (plan, again) = (try Plan(all), try Plan(all))
        let rounds = count % 2 == 0 ? count : 2 * count
        var places: [String: Int] = [:]
        var neighbours: [String: Int] = [:]
        for round in 1...rounds {
            let order = names(plan.order(ofGroup: 0, round: round))
            #expect(order == names(again.order(ofGroup: 0, round: round)))
            #expect(order.sorted() == names(plan.groups[0]).sorted())
            for (place, name) in order.enumerated() {
                places["\(name) at \(place)", default: 0] += 1
            }
            for (first, next) in zip(order, order.dropFirst()) {
                neighbours["\(first), \(next)", default: 0] += 1
            }
        }
        #expect(places.count == count * count)
        #expect(places.values.allSatisfy { $0 == rounds / count })
        #expect(neighbours.count == count * (count - 1))
        #expect(neighbours.values.allSatisfy { $0 == rounds / count })
    }

    /// Every group in every round, and all of them in the same order of strategies.
    @Test(arguments: [0, 1, 5] as [UInt64])
    func roundsInterleaveGroupsInPlanOrder(seed: UInt64) throws {
        let plan = try Plan(
            request {
                $0.strategies = [None.self, PerPage.self, RangeTree.self]
                $0.sizes = [PageCount(16), PageCount(64)]
                $0.backings = [.memfd, .thp]
                $0.settings.seed = seed
            })
        for round in 1...4 {
            for backing in plan.backings {
                let turns = plan.round(round, on: backing)
                #expect(turns.map(\.position) == [1, 2, 3, 1, 2, 3])
                #expect(turns.map(\.cell.settings.size.rawValue) == [16, 16, 16, 64, 64, 64])
                #expect(turns.allSatisfy { $0.cell.settings.backing == backing })
                let order = names(plan.order(ofGroup: 0, round: round))
                #expect(names(turns.map(\.cell)) == order + order)
            }
        }
    }

    /// Of a trace that is its largest request, but for a strategy that registers everything.
    @Test func aCapOnPinsMustSufficeForATrace() throws {
        var trace = Trace()
        for (number, pages) in [1, 3, 2].enumerated() as EnumeratedSequence<[UInt64]> {
            trace.append(
                due: 0, .write,
                [TraceSegment(address: UInt64(number) * 65536, byteCount: pages * 4096)])
        }
        func plan(_ pages: UInt64, _ strategy: any PinStrategy.Type) throws -> Plan {
            var asked = Request()
            asked.strategies = [strategy]
            asked.tracePath = "trace"
            asked.trace = ReplayedTrace(trace, name: "trace", identity: "0")
            let queue = try Plan(asked).cells[0].map.queueLayout.pages.rawValue
            asked.settings.pinLimit = PageCount(queue + pages)
            return try Plan(asked)
        }
        for strategy in [RangeTree.self, PerPage.self, PinCache.self] as [any PinStrategy.Type] {
            #expect(throws: Never.self) { try plan(3, strategy) }
            #expect(throws: UsageError.self) { try plan(2, strategy) }
        }
        // With a page for what lies between two requests.
        #expect(throws: Never.self) { try plan(8, LongLived.self) }
        do {
            _ = try plan(7, LongLived.self)
            Issue.record("seven pages do")
        } catch let error as UsageError {
            // It has no size.
            #expect(!"\(error)".contains("--size"))
        }
    }

    /// A device's part has room for its queue and for what it pins at once: to the page.
    @Test func aCapOnPinsMustSuffice() throws {
        /// Whether a part of the queue and so many pages is just enough.
        func suffices(
            _ pages: UInt64, for strategy: any PinStrategy.Type,
            _ change: (inout Request) -> Void = { _ in }
        ) throws -> Bool {
            var asked = request(change)
            asked.strategies = [strategy]
            let cell = try Plan(asked).cells[0]
            let total =
                (cell.map.queueLayout.pages.rawValue + pages) * UInt64(cell.settings.devices)
            asked.settings.pinLimit = PageCount(total)
            let isEnough = (try? Plan(asked)) != nil
            asked.settings.pinLimit = PageCount(total - 1)
            #expect(throws: UsageError.self) { try Plan(asked) }
            return isEnough
        }
        let chunks = [PageCount(4)]
        #expect(try suffices(16, for: RangeTree.self))
        #expect(try suffices(16, for: RangeTree.self) { $0.devices = [3] })
        #expect(try suffices(4, for: RangeTree.self) { $0.chunks = chunks })
        #expect(try suffices(4, for: PinCache.self) { $0.chunks = chunks })
        // Registered as a whole, whatever the chunk.
        #expect(try suffices(16, for: LongLived.self) { $0.chunks = chunks })
        #expect(
            try suffices(8, for: Bounce.self) {
                ($0.chunks, $0.settings.pool) = (chunks, PageCount(8))
            })
    }

    /// Rows could not tell such cells apart.
    @Test func withoutWritesThereIsOneEngine() throws {
        let plan = try Plan(
            request {
                $0.engines = [.nt, .memset]
                $0.settings.writes = false
            })
        #expect(plan.cells.count == 1)
    }

    @Test func orderStandsTheLargestSeed() throws {
        let plan = try Plan(
            request {
                $0.strategies = [None.self, PerPage.self, RangeTree.self]
                $0.settings.seed = UInt64.max
            })
        #expect(plan.order(ofGroup: 0, round: 1).count == 3)
        #expect(plan.order(ofGroup: 0, round: 1_000_000).count == 3)
    }
}

@Suite struct ShardTests {
    private static let lists: [@Sendable (inout Request) -> Void] = [
        { $0.sizes = [16, 64, 256].map { PageCount($0) } },
        { $0.devices = [1, 2] },
        { $0.misalignments = (0..<3).map { PageCount($0) } },
        { $0.convertRates = [0, 10] },
        { $0.backings = [.memfd, .thp] },
        { $0.chunks = [PageCount(2), PageCount(4)] },
        { $0.strategies = [None.self, PerPage.self, RangeTree.self, Bounce.self] },
    ]

    /// Every choice of the lists, in up to as many shards as it has groups.
    @Test(arguments: 0..<1 << 7)
    func unionIsThePlan(chosen: Int) throws {
        let request = request { request in
            for (index, change) in Self.lists.enumerated() where chosen & 1 << index != 0 {
                change(&request)
            }
        }
        let whole = try Plan(request)
        let namesFromFirst = Dictionary(
            uniqueKeysWithValues: whole.groups.map { ($0[0].index, names($0)) })
        for count in [1, 2, 3, 5, 8] where count <= whole.groups.count {
            let shards = try (1...count).map { index in
                var part = request
                part.shard = Shard(index: index, count: count)
                return try Plan(part)
            }
            let cells = shards.flatMap(\.cells).map(\.index)
            #expect(cells.sorted() == Array(whole.cells.indices))
            for group in shards.flatMap(\.groups) {
                #expect(names(group) == namesFromFirst[group[0].index])
            }
            let sizes = shards.map(\.groups.count)
            #expect(sizes.max()! - sizes.min()! <= 1)
        }
    }

    @Test func aBackingWithoutCellsIsLeftOut() throws {
        let plan = try Plan(
            request {
                $0.backings = [.memfd, .thp]
                $0.shard = Shard(index: 2, count: 2)
            })
        #expect(plan.backings == [.thp])
    }

    @Test func moreShardsThanGroupsAreRefused() {
        #expect(
            throws: UsageError(
                "--shard 1/3: strategies stay together, and without them there are 2 cells; "
                    + "split into 2 shards at most")
        ) {
            try Plan(
                request {
                    $0.strategies = [None.self, PerPage.self]
                    $0.sizes = [PageCount(16), PageCount(64)]
                    $0.shard = Shard(index: 1, count: 3)
                })
        }
    }
}

@Suite struct PlanRefusalTests {
    private func refusal(_ change: (inout Request) -> Void) -> String? {
        do throws(UsageError) {
            _ = try Plan(request(change))
            return nil
        } catch {
            return error.description
        }
    }

    @Test func ofListsThatMultiplyToTooMuch() {
        let sizes = (1...50_000).map { PageCount(UInt64($0)) }
        #expect(
            refusal {
                $0.sizes = sizes
                $0.strategies = [None.self, PerPage.self, RangeTree.self]
            }
                == "--size (50000), --strategy (3): multiply to more than 100000 cells; shorten some, "
                + "or run them one after another")
    }

    @Test func ofAPolicyTheStrategyLacks() {
        #expect(refusal { $0.policies = [.deny, .wait] } == nil)
        #expect(
            refusal { $0.policies = [.deny, .revoke] }
                == "--policy revoke: strategy rangetree has none; it supports deny, wait")
        // One strategy of the list is enough.
        #expect(
            refusal {
                $0.strategies = [LongLived.self, PerPage.self]
                $0.policies = [.revoke]
            } == "--policy revoke: strategy perpage has none; it supports deny, wait")
    }

    @Test func ofAChunkAboveTheSize() {
        #expect(refusal { $0.chunks = [PageCount(16)] } == nil)
        #expect(refusal { $0.chunks = [PageCount(17)] } == "--chunk 68K is above --size 64K")
    }

    @Test func ofASizeThatRangesDoNotDivide() {
        #expect(refusal { $0.ranges = [16] } == nil)
        #expect(
            refusal { $0.ranges = [3] }
                == "--size 64K does not divide into --ranges 3 of whole 4K pages; "
                + "choose a size that is a multiple of 12K")
        #expect(refusal { $0.ranges = [32] }?.contains("multiple of 128K") == true)
    }

    @Test func ofAGuestThatCannotBeLaidOut() {
        #expect(
            refusal { $0.settings.guestMemory = PageCount(64) }?.contains("--guest-memory") == true)
        #expect(
            refusal { $0.sizes = [PageCount(PageRange.frameLimit)] }?.contains("16 TiB") == true)
        #expect(
            refusal {
                $0.sizes = [PageCount(1 << 32)]
                $0.devices = [63]
                $0.misalignments = [PageCount(PageRange.frameLimit - 1)]
            } != nil)
        #expect(
            refusal {
                $0.sizes = [PageCount(1 << 20)]
                $0.ranges = [1 << 20]
            }?.contains("virtqueue") == true)
    }

    @Test func ofAPoolThatIsTooSmall() {
        func refusal(pages: UInt64, _ strategy: any PinStrategy.Type) -> String? {
            self.refusal {
                $0.strategies = [strategy]
                $0.sizes = [PageCount(pages)]
                $0.settings.pool = PageCount(2)
            }
        }
        #expect(refusal(pages: 1 << 21, Bounce.self) == nil)
        let reason = refusal(pages: (1 << 21) + 1, Bounce.self)
        #expect(reason?.contains("at most 1048576 pieces; choose a larger --pool") == true)
        #expect(refusal(pages: 1 << 22, RangeTree.self) == nil)
    }

    @Test func ofConversionsThatHaveNoPlace() {
        #expect(
            refusal {
                $0.settings.convertPlace = .inside
                $0.convertPages = [PageCount(16)]
            } == nil)
        for (place, pages) in [
            (ConversionPlace.inside, 17), (.outside, 8193), (.mixed, 17),
            (.outside, PageRange.frameLimit),
        ] as [(ConversionPlace, UInt64)] {
            let reason = refusal {
                $0.settings.convertPlace = place
                $0.convertPages = [PageCount(pages)]
            }
            #expect(
                reason?.contains("no place for so many pages \(place.rawValue)") == true,
                "\(place) \(pages)")
        }
        // Without conversions there is nothing to find a place for.
        #expect(
            refusal {
                $0.settings.convertPlace = .inside
                $0.convertPages = [PageCount(17)]
                $0.convertRates = [0]
            } == nil)
    }
}
