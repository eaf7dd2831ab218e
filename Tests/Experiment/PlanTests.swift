import DmaWriter
import Guest
import GuestMemory
import PinLock
import Testing

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
                $0.devices = [1, 2]
                $0.engines = [.nt, .memset]
                $0.backings = [.memfd, .thp]
                $0.policies = [.deny, .wait]
                $0.convertRates = [0, 10]
                $0.convertPages = [PageCount(1), PageCount(2)]
                $0.rounds = 3
            })
        let groups = 3 * 2 * 2 * 2 * 2 * 2 * 2 * 2 * 2
        #expect(plan.groups.count == groups)
        #expect(plan.cells.count == 2 * groups)
        #expect(plan.turnCount == 3 * 2 * groups)
        #expect(Set(plan.cells.map(Description.init)).count == 2 * groups)
    }

    /// Everything that tells one cell from another.
    private struct Description: Hashable {
        let text: String

        init(_ cell: Cell) {
            let shape = cell.shape
            text = """
                \(cell.strategy.info.name) \(shape.backing) \(shape.size) \(shape.ranges) \
                \(shape.devices) \(cell.chunk) \(cell.engine) \(cell.policy) \(cell.convertRate) \
                \(cell.convertPages)
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
            #expect(Set(group.map { "\($0.shape.size) \($0.convertRate)" }).count == 1)
        }
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
                $0.misalignment = PageCount(1)
                $0.guestMemory = PageCount(1 << 20)
            })
        let map = plan.cells[0].shape.map
        #expect(map.pages == PageCount(1 << 20))
        #expect(map.buffers.count == 3)
        #expect(map.buffers.allSatisfy { $0.rangeCount == 4 && $0.pagesPerRange == 4 })
        #expect(map.buffers[0].start == 1)
    }

    /// Only what goes through pools has them, and none is larger than its request.
    @Test func poolsAreTheStrategysOwn() throws {
        let plan = try Plan(
            request {
                $0.strategies = [RangeTree.self, Bounce.self]
                $0.sizes = [PageCount(16), PageCount(64)]
                $0.devices = [2]
                $0.pool = PageCount(24)
            })
        #expect(plan.groups.map(names) == [["rangetree", "bounce"], ["rangetree", "bounce"]])
        #expect(plan.cells.map(\.shape.pool) == [nil, PageCount(16), nil, PageCount(24)])
        for cell in plan.cells where cell.shape.pool != nil {
            let map = cell.shape.map
            #expect(map.buffers.map(\.pages) == [cell.shape.pool, cell.shape.pool])
            #expect(map.targets.map(\.pages) == [cell.shape.size, cell.shape.size])
        }
        let whole = try Plan(request { $0.strategies = [Bounce.self] })
        #expect(whole.cells.map(\.shape.pool) == [PageCount(16)])
    }

    /// Only what keeps pins has a limit: the one asked for, else the request.
    @Test func cachesAreTheStrategysOwn() throws {
        func caches(_ cache: PageCount?) throws -> [PageCount?] {
            try Plan(
                request {
                    $0.strategies = [LongLived.self, PinCache.self]
                    $0.sizes = [PageCount(16), PageCount(64)]
                    $0.cache = cache
                }
            ).cells.map(\.cache)
        }
        #expect(try caches(PageCount(24)) == [nil, PageCount(24), nil, PageCount(24)])
        #expect(try caches(nil) == [nil, PageCount(16), nil, PageCount(64)])
    }

    @Test(arguments: 1...4, [0, 1, 2, 7, 1 << 40] as [UInt64])
    func everyStrategyComesFirstEquallyOften(count: Int, seed: UInt64) throws {
        let strategies: [any PinStrategy.Type] = [
            None.self, PerPage.self, RangeTree.self, LongLived.self,
        ]
        let plan = try Plan(
            request {
                $0.strategies = Array(strategies.prefix(count))
                $0.seed = seed
            })
        var places: [String: Set<Int>] = [:]
        for round in 1...count {
            let order = names(plan.order(ofGroup: 0, round: round))
            #expect(order.sorted() == names(plan.groups[0]).sorted())
            for (place, name) in order.enumerated() { places[name, default: []].insert(place) }
        }
        // As many different places as there are rounds: each exactly once.
        #expect(places.values.allSatisfy { $0 == Set(0..<count) })
    }

    @Test func orderIsARotationThatTheSeedRepeats() throws {
        let all = request { $0.strategies = [None.self, PerPage.self, RangeTree.self] }
        let (plan, again) = (try Plan(all), try Plan(all))
        for round in 1...7 {
            let order = names(plan.order(ofGroup: 0, round: round))
            #expect(order == names(again.order(ofGroup: 0, round: round)))
            let next = names(plan.order(ofGroup: 0, round: round + 1))
            #expect(next == Array(order[1...] + order[..<1]))
        }
    }

    @Test func orderStandsTheLargestSeed() throws {
        let plan = try Plan(
            request {
                $0.strategies = [None.self, PerPage.self, RangeTree.self]
                $0.seed = UInt64.max
            })
        #expect(plan.order(ofGroup: 0, round: 1).count == 3)
        #expect(plan.order(ofGroup: 0, round: 1_000_000).count == 3)
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
        #expect(refusal { $0.guestMemory = PageCount(64) }?.contains("--guest-memory") == true)
        #expect(
            refusal { $0.sizes = [PageCount(PageRange.frameLimit)] }?.contains("16 TiB") == true)
        #expect(
            refusal {
                $0.sizes = [PageCount(1 << 32)]
                $0.devices = [63]
                $0.misalignment = PageCount(PageRange.frameLimit - 1)
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
                $0.pool = PageCount(2)
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
                $0.convertPlace = .inside
                $0.convertPages = [PageCount(16)]
            } == nil)
        for (place, pages) in [
            (Converter.Place.inside, 17), (.outside, 8193), (.mixed, 17),
            (.outside, PageRange.frameLimit),
        ] as [(Converter.Place, UInt64)] {
            let reason = refusal {
                $0.convertPlace = place
                $0.convertPages = [PageCount(pages)]
            }
            #expect(
                reason?.contains("no place for so many pages \(place.rawValue)") == true,
                "\(place) \(pages)")
        }
        // Without conversions there is nothing to find a place for.
        #expect(
            refusal {
                $0.convertPlace = .inside
                $0.convertPages = [PageCount(17)]
                $0.convertRates = [0]
            } == nil)
    }
}
