import DmaStatistics
import Guest
import GuestMemory
import PinLock
import Settings

/// A run, laid out: which cells, in which order.
public struct Plan: Sendable {
    public let request: Request
    /// In groups that differ in the strategy alone: what is interleaved within a round.
    public let groups: [[Cell]]

    public var cells: [Cell] { groups.flatMap { $0 } }
    /// The backings that have cells, in the order of the request.
    public var backings: [Backing] {
        request.values(of: \.backing).filter { backing in
            groups.contains { $0[0].settings.backing == backing }
        }
    }
    public var turnCount: Int { cells.count * request.rounds }

    /// One cell in one round.
    public struct Turn: Hashable, Sendable {
        public let cell: Int
        public let round: Int

        public init(_ cell: Cell, round: Int) {
            self.cell = cell.index
            self.round = round
        }
    }

    private static let cellLimit = 100_000.0

    /// The product of what varies. Refuses combinations that make no sense, with what to change.
    public init(_ request: Request) throws(UsageError) {
        var request = request
        // Where nothing is written, engines make no difference.
        let directions = request.values(of: \.direction)
        if !request.settings.writes || directions == [.read] {
            request.vary(\.engine, over: [request.settings.engine], option: "--engine")
        }
        if request.values(of: \.speed) != [TurnSettings().speed], request.tracePath == nil {
            throw UsageError("--speed: of which trace? Give --trace FILE as well")
        }
        if !request.settings.writes, directions != [.write] {
            throw UsageError(
                "--no-write: nothing is moved, in no --direction; leave one of them out")
        }
        self.request = request
        let axes = request.groupAxes
        let strategies = request.values(of: \.strategy)
        let lists = axes.map { ($0.option, $0.values.count) } + [("--strategy", strategies.count)]
        guard lists.reduce(1.0, { $0 * Double($1.1) }) <= Self.cellLimit else {
            let names = lists.filter { $0.1 > 1 }.map { "\($0.0) (\($0.1))" }
                .joined(separator: ", ")
            throw UsageError(
                "\(names): multiply to more than 100000 cells; shorten some, or run them one after another"
            )
        }
        var combinations = [request.settings]
        for axis in axes {
            combinations = combinations.flatMap { settings in
                axis.values.indices.map { index in
                    var settings = settings
                    axis.set(&settings, index)
                    return settings
                }
            }
        }
        var maps = MemoryMaps()
        var groups: [[Cell]] = []
        for settings in combinations {
            var group: [Cell] = []
            for strategy in strategies {
                let settings = try Self.decided(settings, for: strategy, request.trace)
                group.append(
                    Cell(
                        index: groups.count * strategies.count + group.count, settings: settings,
                        map: try maps.map(for: settings, request.trace), trace: request.trace))
            }
            groups.append(group)
        }
        for cell in groups.joined() {
            try Self.checkLoad(cell)
            try Self.check(cell)
        }
        self.groups = try Self.part(of: groups, request.shard)
    }

    /// The settings of a cell, with what depends on its strategy and its size.
    private static func decided(
        _ settings: TurnSettings, for strategy: StrategyID, _ trace: ReplayedTrace?
    ) throws(UsageError) -> TurnSettings {
        var settings = settings
        settings.strategy = strategy
        if let trace {
            if let reason = trace.refusal(of: settings) {
                throw UsageError("\(reason); leave it out, or --trace")
            }
            settings = trace.applied(to: settings)
        }
        settings.chunk = settings.chunk ?? settings.size
        let needsPool = strategy.type.info.needsPool
        settings.pool = needsPool ? settings.pool ?? settings.size : nil
        settings.cache = strategy.type.isCached ? settings.cache ?? settings.size : nil
        return settings
    }

    /// Whole groups, dealt out in turns: strategies that are to be compared stay in one run.
    private static func part(
        of groups: [[Cell]], _ shard: Shard?
    ) throws(UsageError) -> [[Cell]] {
        guard let shard else { return groups }
        guard shard.count <= groups.count else {
            throw UsageError(
                "--shard \(shard): strategies stay together, and without them there are "
                    + "\(groups.count) cells; split into \(groups.count) shards at most")
        }
        return groups.indices.filter { $0 % shard.count == shard.index - 1 }.map { groups[$0] }
    }

    /// The order of a group's strategies in a round (`balancedOrder`).
    public func order(ofGroup group: Int, round: Int) -> [Cell] {
        let cells = groups[group]
        let turn = request.settings.seed &+ UInt64(round)
        return balancedOrder(of: cells.count, turn: turn).map { cells[$0] }
    }

    /// A round on one backing: its cells in the order in which they are measured, and the place of each in its group,
    /// from 1.
    func round(_ round: Int, on backing: Backing) -> [(cell: Cell, position: Int)] {
        groups.indices.filter { groups[$0][0].settings.backing == backing }.flatMap { group in
            order(ofGroup: group, round: round).enumerated().map { ($1, $0 + 1) }
        }
    }

    /// Whether a device's part of the cap has room for its queue and for what it pins at once.
    private static func check(_ limit: PageCount, _ cell: Cell) throws(UsageError) {
        let (map, devices) = (cell.map, UInt64(cell.settings.devices))
        let part = limit.rawValue / devices
        let (queue, buffer) = (map.queueLayout.pages.rawValue, map.buffers[0].pages)
        let request = cell.trace?.layout.largestRequest ?? buffer
        let atOnce = cell.strategy.info.pinsBuffers ? buffer : min(cell.chunk, request)
        let needed = queue + atOnce.rawValue
        guard needed > part else { return }
        let name = cell.strategy.info.name
        let whole = ByteCount(needed * devices * pageSize)
        var remedies = ["raise it to \(whole)"]
        // What a trace registers is as large as it is.
        if part > queue, cell.trace == nil || !cell.strategy.info.pinsBuffers {
            let room = PageCount(part - queue).bytes
            let option =
                !cell.strategy.info.pinsBuffers
                ? "--chunk" : cell.pool == nil ? "--size" : "--pool"
            remedies.append("use \(option) \(room) or less")
        }
        if cell.strategy.info.pinsBuffers, cell.pool == nil {
            remedies.append("leave \(name) out")
        }
        throw UsageError(
            "--pin-limit \(limit.bytes): a device has \(PageCount(part).bytes) of it, and with strategy \(name) "
                + "holds \(atOnce.bytes) of its buffer and \(PageCount(queue).bytes) of its queue at once; "
                + remedies.joined(separator: ", or "))
    }

    private static func check(_ cell: Cell) throws(UsageError) {
        let (settings, info) = (cell.settings, cell.strategy.info)
        guard info.policies.contains(settings.policy) else {
            throw UsageError(
                "--policy \(settings.policy.rawValue): strategy \(info.name) has none; it supports "
                    + info.policies.map(\.rawValue).joined(separator: ", "))
        }
        guard cell.chunk <= settings.size else {
            throw UsageError("--chunk \(cell.chunk.bytes) is above --size \(settings.size.bytes)")
        }
        if let limit = settings.pinLimit { try check(limit, cell) }
        if settings.placement == .same, info.needsPool {
            throw UsageError(
                "--buffers same: strategy \(info.name) needs a pool for each device; leave one of them out"
            )
        }
        if settings.backing.isHugetlb, settings.frees || settings.enforces {
            throw UsageError(
                "\(settings.frees ? "--convert-to free" : "--enforce mmu"): huge pages are freed and protected as a whole; "
                    + "use --backing memfd or thp")
        }
        if settings.convertRate != 0,
            !Converter.fits(settings.convertPages, place: settings.convertPlace, in: cell.map)
        {
            throw UsageError(
                "--convert-pages \(settings.convertPages.rawValue): no place for so many pages "
                    + "\(settings.convertPlace.rawValue) the buffers; choose fewer, or more --guest-memory"
            )
        }
    }
}

extension Plan {
    /// Whether requests can come as they are to come.
    private static func checkLoad(_ cell: Cell) throws(UsageError) {
        let (settings, info) = (cell.settings, cell.strategy.info)
        if settings.depth > 1, info.needsPool {
            throw UsageError(
                "--depth \(settings.depth): strategy \(info.name) has one pool for each device, which is one request's "
                    + "at a time; leave one of them out")
        }
        if settings.enforces, settings.loads {
            throw UsageError(
                "--enforce mmu: it stops a device's stores to private pages, and no loads; leave it out for --direction "
                    + "\(settings.direction)")
        }
        guard settings.idleNanoseconds > 0 else { return }
        if settings.dmaRate != .max {
            throw UsageError(
                "--idle: a device pauses between the requests of a closed loop, and --dma-rate "
                    + "\(settings.dmaRate) has times of its own; leave one of them out")
        }
        if settings.depth > 1 {
            throw UsageError(
                "--idle: with --depth \(settings.depth) a device has the next request before it could pause; leave one "
                    + "of them out")
        }
    }
}

/// The memory maps of a plan's guests, each made once but for a trace's.
private struct MemoryMaps {
    private struct Shape: Hashable {
        let size: PageCount
        let ranges: Int
        let spread: PageCount?
        let seed: UInt64
        let misalignment: PageCount
        let devices: Int
        let requests: Int
        let pool: PageCount?
        let placement: BufferPlacement
        let guestMemory: PageCount?
    }
    private var made: [Shape: MemoryMap] = [:]

    mutating func map(
        for settings: TurnSettings, _ trace: ReplayedTrace?
    ) throws(UsageError) -> MemoryMap {
        if let trace { return try Self.make(settings, trace) }
        let shape = Shape(
            size: settings.size, ranges: settings.ranges, spread: settings.drawnFrom,
            seed: settings.seed, misalignment: settings.misalignment,
            devices: settings.devices, requests: settings.queuedRequests, pool: settings.pool,
            placement: settings.placement, guestMemory: settings.guestMemory)
        if let map = made[shape] { return map }
        let map = try Self.make(settings)
        made[shape] = map
        return map
    }

    private static func make(
        _ settings: TurnSettings, _ trace: ReplayedTrace
    ) throws(UsageError) -> MemoryMap {
        do throws(MemoryMapError) {
            return try MemoryMap(
                trace.layout, requests: ReplayedTrace.places(settings), total: settings.guestMemory)
        } catch {
            throw UsageError("--trace \(trace.name): \(error.advised)")
        }
    }

    private static func make(_ settings: TurnSettings) throws(UsageError) -> MemoryMap {
        let (size, ranges) = (settings.size, UInt64(settings.ranges))
        let (perRange, rest) = size.rawValue.quotientAndRemainder(dividingBy: ranges)
        guard rest == 0, perRange > 0 else {
            throw UsageError(
                "--size \(size.bytes) does not divide into --ranges \(ranges) of whole 4K pages; "
                    + "choose a size that is a multiple of \(ByteCount(ranges * pageSize))")
        }
        do throws(MemoryMapError) {
            return try MemoryMap(
                devices: settings.devices, requests: settings.queuedRequests,
                pagesPerRange: PageCount(perRange),
                rangeCount: settings.ranges, misalignment: settings.misalignment,
                spread: settings.drawnFrom, seed: settings.seed,
                pool: settings.pool, placement: settings.placement, total: settings.guestMemory)
        } catch {
            let pools = settings.pool.map { " with pools of \(min($0, size).bytes)" } ?? ""
            throw UsageError("--size \(size.bytes)\(pools): \(error.advised)")
        }
    }
}
