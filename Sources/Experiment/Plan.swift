import DmaWriter
import Guest
import GuestMemory
import PinLock

/// A run, laid out: which cells, in which order.
public struct Plan: Sendable {
    public let request: Request
    /// In groups that differ in the strategy alone: what is interleaved within a round.
    public let groups: [[Cell]]

    public var cells: [Cell] { groups.flatMap { $0 } }
    /// The backings that have cells, in the order of the request.
    public var backings: [Backing] {
        request.backings.filter { backing in
            groups.contains { $0[0].shape.backing == backing }
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

    /// All that decides what a turn measures, as text: the same for every part of a plan, and however long it runs.
    public var identity: String {
        // By reflection, so that no option is ever left out.
        Mirror(reflecting: request).children.compactMap { option in
            let name = option.label ?? ""
            return ["rounds", "tolerance", "quietRounds", "shard"].contains(name)
                ? nil : "\(name)=\(option.value)"
        }.joined(separator: ";")
    }

    private static let cellLimit = 100_000.0

    /// The product of the lists. Refuses combinations that make no sense, with what to change.
    public init(_ request: Request) throws(UsageError) {
        var request = request
        // Where nothing is written, engines make no difference.
        if !request.writes { request.engines = Array(request.engines.prefix(1)) }
        self.request = request
        let lists = [
            ("--backing", request.backings.count), ("--size", request.sizes.count),
            ("--ranges", request.ranges.count), ("--misalign", request.misalignments.count),
            ("--devices", request.devices.count), ("--chunk", request.chunks.count),
            ("--engine", request.engines.count), ("--policy", request.policies.count),
            ("--convert-rate", request.convertRates.count),
            ("--convert-pages", request.convertPages.count),
            ("--strategy", request.strategies.count),
        ].filter { $0.1 > 1 }
        guard lists.reduce(1.0, { $0 * Double($1.1) }) <= Self.cellLimit else {
            let names = lists.map { "\($0.0) (\($0.1))" }.joined(separator: ", ")
            throw UsageError(
                "\(names): multiply to more than 100000 cells; shorten some, or run them one after another"
            )
        }
        var groups = try Self.shapes(request).flatMap { plain, pooled in
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
        for cell in groups.joined() { try Self.check(cell, request) }
        let width = request.strategies.count
        for group in groups.indices {
            for place in 0..<width { groups[group][place].index = group * width + place }
        }
        self.groups = try Self.part(of: groups, request.shard)
    }

    /// Every shape of the request, without a pool and, where a strategy needs one, with it.
    private static func shapes(
        _ request: Request
    ) throws(UsageError) -> [(plain: Shape, pooled: Shape?)] {
        let needsPool = request.strategies.contains { $0.info.exclusion == .bounce }
        var shapes: [(plain: Shape, pooled: Shape?)] = []
        for backing in request.backings {
            for size in request.sizes {
                for ranges in request.ranges {
                    for misalignment in request.misalignments {
                        for devices in request.devices {
                            func shape(pool: PageCount?) throws(UsageError) -> Shape {
                                Shape(
                                    backing: backing, size: size, ranges: ranges,
                                    misalignment: misalignment, devices: devices,
                                    map: try map(
                                        request, size: size, ranges: ranges,
                                        misalignment: misalignment, devices: devices, pool: pool))
                            }
                            let pooled = needsPool ? try shape(pool: request.pool ?? size) : nil
                            shapes.append((try shape(pool: nil), pooled))
                        }
                    }
                }
            }
        }
        return shapes
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

    /// The order of a group's strategies in a round.
    ///
    /// Over as many rounds as there are strategies, twice as many of an odd number, each comes equally often in each
    /// place, and equally often right after each other one: a Latin square balanced for what a turn leaves to the next
    /// (E. J. Williams, "Experimental Designs Balanced for the Estimation of Residual Effects of Treatments", 1949).
    public func order(ofGroup group: Int, round: Int) -> [Cell] {
        let cells = groups[group]
        let count = cells.count
        let turn = request.seed &+ UInt64(round)
        // 0, 1, -1, 2, -2, ...: each step from one to the next is another one.
        var walk = (0..<count).map { $0 % 2 == 1 ? ($0 + 1) / 2 : count - $0 / 2 }
        if count % 2 == 1, turn % 2 == 1 { walk.reverse() }
        let shift = Int(turn % UInt64(count))
        return walk.map { cells[($0 + shift) % count] }
    }

    /// A round on one backing: its cells in the order in which they are measured, and the place of each in its group,
    /// from 1.
    func round(_ round: Int, on backing: Backing) -> [(cell: Cell, position: Int)] {
        groups.indices.filter { groups[$0][0].shape.backing == backing }.flatMap { group in
            order(ofGroup: group, round: round).enumerated().map { ($1, $0 + 1) }
        }
    }

    private static func map(
        _ request: Request, size: PageCount, ranges: Int, misalignment: PageCount, devices: Int,
        pool: PageCount?
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
                misalignment: misalignment, pool: pool, placement: request.placement,
                total: request.guestMemory)
        } catch {
            let pools = pool.map { " with pools of \(min($0, size).bytes)" } ?? ""
            throw UsageError("--size \(size.bytes)\(pools): \(error)")
        }
    }

    /// Whether a device's part of the cap has room for its queue and for what it pins at once.
    private static func check(_ limit: PageCount, _ cell: Cell) throws(UsageError) {
        let (map, devices) = (cell.shape.map, UInt64(cell.shape.devices))
        let part = limit.rawValue / devices
        let (queue, buffer) = (map.queueLayout.pages.rawValue, map.buffers[0].pages)
        let atOnce = cell.strategy.pinsBuffers ? buffer : min(cell.chunk, buffer)
        let needed = queue + atOnce.rawValue
        guard needed > part else { return }
        let name = cell.strategy.info.name
        let whole = ByteCount(needed * devices * pageSize)
        var remedies = ["raise it to \(whole)"]
        if part > queue {
            let room = PageCount(part - queue).bytes
            let option =
                !cell.strategy.pinsBuffers
                ? "--chunk" : cell.shape.pool == nil ? "--size" : "--pool"
            remedies.append("use \(option) \(room) or less")
        }
        if cell.strategy.pinsBuffers, cell.shape.pool == nil {
            remedies.append("leave \(name) out")
        }
        throw UsageError(
            "--pin-limit \(limit.bytes): a device has \(PageCount(part).bytes) of it, and with strategy \(name) "
                + "holds \(atOnce.bytes) of its buffer and \(PageCount(queue).bytes) of its queue at once; "
                + remedies.joined(separator: ", or "))
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
        if let limit = request.pinLimit { try check(limit, cell) }
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
        if cell.convertRate != 0,
            !Converter.fits(cell.convertPages, place: request.convertPlace, in: cell.shape.map)
        {
            throw UsageError(
                "--convert-pages \(cell.convertPages.rawValue): no place for so many pages "
                    + "\(request.convertPlace.rawValue) the buffers; choose fewer, or more --guest-memory"
            )
        }
    }
}
