import DmaWriter
import Guest
import GuestMemory
import PinLock
import VirtualDevice

/// What decides the layout of a guest.
public struct Shape: Sendable {
    public let backing: Backing
    public let size: PageCount
    public let ranges: Int
    public let devices: Int
    /// The pool of each device, where requests go through pools.
    public var pool: PageCount? { map.targets.isEmpty ? nil : map.buffers[0].pages }
    public let map: MemoryMap
}

/// One combination of everything that a run varies.
public struct Cell: Sendable {
    public let strategy: any PinStrategy.Type
    public let shape: Shape
    public let chunk: PageCount
    /// What each device keeps pinned between requests at most, where the strategy keeps any.
    public let cache: PageCount?
    public let engine: FillEngine
    public var policy = ConflictPolicy.Kind.deny
    public var convertRate: UInt64 = 0
    public var convertPages = PageCount(1)

    init(
        strategy: any PinStrategy.Type, shape: Shape, chunk: PageCount, cache: PageCount?,
        engine: FillEngine
    ) {
        self.strategy = strategy
        self.shape = shape
        self.chunk = chunk
        self.cache = strategy.isCached ? cache ?? shape.size : nil
        self.engine = engine
    }
}

/// What is asked of a run: lists to be multiplied, and what holds for all of it.
public struct Request: Sendable {
    public var strategies: [any PinStrategy.Type] = []
    public var policies: [ConflictPolicy.Kind] = [.deny]
    public var sizes: [PageCount] = []
    /// Empty: the whole request.
    public var chunks: [PageCount] = []
    public var ranges: [Int] = [1]
    public var devices: [Int] = [1]
    public var engines: [FillEngine] = [.nt]
    public var backings: [Backing] = [.memfd]
    public var convertRates: [UInt64] = [1000]
    public var convertPages: [PageCount] = [PageCount(1)]
    public var convertPlace = Converter.Place.outside
    /// Whether pages that become private are freed: `--convert-to free`.
    public var frees = false

    public var placement = MemoryMap.Placement.disjoint
    public var entrySize = EntrySize.small
    public var misalignment = PageCount(0)
    /// The pool of each device of strategies that need one; nil for one as large as the request.
    public var pool: PageCount?
    /// What devices of strategies that keep pins keep at most; nil for as much as the request.
    public var cache: PageCount?
    public var guestMemory: PageCount?
    public var lanes = 1
    public var writes = true
    public var usesEventfd = false
    /// Whether private pages are write-protected in the devices.
    public var enforces = false
    public var faultPolicy = FaultPolicy.abort
    public var rounds = 10
    public var operations: UInt64?
    public var seconds: Double?
    public var seed: UInt64 = 1
    public var memoryNode: Int?
    public var deviceProcessor: Int?
    public var vcpuProcessor: Int?

    public init() {}
}

/// A run, laid out: which cells, in which order.
public struct Plan: Sendable {
    public let request: Request
    /// In groups that differ in the strategy alone: what is interleaved within a round.
    public let groups: [[Cell]]

    public var cells: [Cell] { groups.flatMap { $0 } }
    public var turnCount: Int { cells.count * request.rounds }

    private static let cellLimit = 100_000.0

    /// The product of the lists. Refuses combinations that make no sense, with what to change.
    public init(_ request: Request) throws(UsageError) {
        self.request = request
        let lengths = [
            request.backings.count, request.sizes.count, request.ranges.count,
            request.devices.count,
            max(1, request.chunks.count), request.engines.count, request.policies.count,
            request.convertRates.count, request.convertPages.count, request.strategies.count,
        ]
        let product = lengths.reduce(1.0) { $0 * Double($1) }
        guard product <= Self.cellLimit else {
            throw UsageError(
                "the lists multiply to more than 100000 cells; shorten some, or run them one after another"
            )
        }
        // Of the same requests, without a pool and with one.
        var shapes: [(plain: Shape, pooled: Shape?)] = []
        let needsPool = request.strategies.contains { $0.info.exclusion == .bounce }
        for backing in request.backings {
            for size in request.sizes {
                for ranges in request.ranges {
                    for devices in request.devices {
                        func shape(pool: PageCount?) throws(UsageError) -> Shape {
                            Shape(
                                backing: backing, size: size, ranges: ranges, devices: devices,
                                map: try Self.map(
                                    request, size: size, ranges: ranges, devices: devices,
                                    pool: pool))
                        }
                        let pooled = needsPool ? try shape(pool: request.pool ?? size) : nil
                        shapes.append((try shape(pool: nil), pooled))
                    }
                }
            }
        }
        var groups = shapes.flatMap { plain, pooled in
            (request.chunks.isEmpty ? [plain.size] : request.chunks).flatMap { chunk in
                request.engines.map { engine in
                    request.strategies.map { strategy in
                        let shape = strategy.info.exclusion == .bounce ? pooled! : plain
                        return Cell(
                            strategy: strategy, shape: shape, chunk: chunk, cache: request.cache,
                            engine: engine)
                    }
                }
            }
        }
        groups = Self.vary(groups, request.policies) { $0.policy = $1 }
        groups = Self.vary(groups, request.convertRates) { $0.convertRate = $1 }
        groups = Self.vary(groups, request.convertPages) { $0.convertPages = $1 }
        self.groups = groups
        for cell in cells { try Self.check(cell, request) }
    }

    /// Each group once for each value.
    private static func vary<Value>(
        _ groups: [[Cell]], _ values: [Value], _ set: (inout Cell, Value) -> Void
    ) -> [[Cell]] {
        groups.flatMap { group in
            values.map { value in
                group.map { cell in
                    var cell = cell
                    set(&cell, value)
                    return cell
                }
            }
        }
    }

    /// The order of a group's strategies in a round: rotated, so that each comes first as often as any other.
    public func order(ofGroup group: Int, round: Int) -> [Cell] {
        let cells = groups[group]
        let shift = Int((request.seed &+ UInt64(round)) % UInt64(cells.count))
        return Array(cells[shift...] + cells[..<shift])
    }

    private static func map(
        _ request: Request, size: PageCount, ranges: Int, devices: Int, pool: PageCount?
    ) throws(UsageError) -> MemoryMap {
        let (perRange, rest) = size.rawValue.quotientAndRemainder(dividingBy: UInt64(ranges))
        guard rest == 0, perRange > 0 else {
            throw UsageError(
                "--size \(size.bytes) does not divide into --ranges \(ranges) of whole 4K pages; "
                    + "choose a size that is a multiple of \(ByteCount(UInt64(ranges) * pageSize))")
        }
        do throws(MemoryMapError) {
            return try MemoryMap(
                devices: devices, pagesPerRange: PageCount(perRange), rangeCount: ranges,
                misalignment: request.misalignment, pool: pool, placement: request.placement,
                total: request.guestMemory)
        } catch {
            let pools = pool.map { " with pools of \(min($0, size).bytes)" } ?? ""
            throw UsageError("--size \(size.bytes)\(pools): \(error)")
        }
    }

    private static func check(_ cell: Cell, _ request: Request) throws(UsageError) {
        let info = cell.strategy.info
        guard info.policies.contains(cell.policy) else {
            throw UsageError(
                "--policy \(cell.policy.rawValue): strategy \(info.name) has none; it supports "
                    + info.policies.map(\.rawValue).joined(separator: ", "))
        }
        guard cell.chunk <= cell.shape.size else {
            throw UsageError("--chunk \(cell.chunk.bytes) is above --size \(cell.shape.size.bytes)")
        }
        if request.placement == .same, info.exclusion == .bounce {
            throw UsageError(
                "--buffers same: strategy \(info.name) needs a pool for each device; leave one of them out"
            )
        }
        if cell.shape.backing.isHugetlb, request.frees || request.enforces {
            throw UsageError(
                "\(request.frees ? "--convert-to free" : "--enforce mmu"): huge pages are freed and protected as a whole; "
                    + "use --backing memfd or thp")
        }
        if cell.convertRate > 0,
            !Converter.fits(cell.convertPages, place: request.convertPlace, in: cell.shape.map)
        {
            throw UsageError(
                "--convert-pages \(cell.convertPages.rawValue): no place for so many pages "
                    + "\(request.convertPlace.rawValue) the buffers; choose fewer, or more --guest-memory"
            )
        }
    }
}
