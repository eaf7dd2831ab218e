import DmaWriter
import Experiment
import Guest
import GuestMemory
import PinLock
import VirtualDevice

/// Gives the options their meaning.
enum RequestParser {
    static func request(_ run: DmaBench) throws(UsageError) -> Request {
        var request = Request()
        request.strategies = try strategies(run.strategy)
        request.sizes = try pages(run.size, "--size")
        if let chunk = run.chunk { request.chunks = try pages(chunk, "--chunk") }
        request.ranges = try counts(run.ranges, "--ranges", 1...(1 << 20)).map { Int($0) }
        request.devices = try counts(run.devices, "--devices", 1...UInt64(Arena.deviceCapacity - 1))
            .map { Int($0) }
        request.placement = try Choice.named(
            run.buffers, option: "--buffers",
            among: MemoryMap.Placement.allCases.map { ($0.rawValue, $0) })
        request.convertRates = try rates(run.convertRate)
        request.convertPages = try counts(
            run.convertPages, "--convert-pages", 1...PageRange.frameLimit
        )
        .map { PageCount($0) }
        request.convertPlace = try Choice.named(
            // The broken ones are there to be caught, which outside the buffers nobody can.
            run.convertWhere ?? (run.strategy == "unsafe" ? "inside" : "outside"),
            option: "--convert-where",
            among: Converter.Place.allCases.map { ($0.rawValue, $0) })
        request.frees = try Choice.named(
            run.convertTo, option: "--convert-to", among: [("private", false), ("free", true)])
        request.policies = try choices(
            run.policy, "--policy", ConflictPolicy.Kind.allCases.map { ($0.rawValue, $0) })
        request.engines = try choices(
            run.engine, "--engine", FillEngine.allCases.map { ($0.rawValue, $0) })
        request.backings = try choices(
            run.backing, "--backing", Backing.allCases.map { ($0.rawValue, $0) })
        request.lanes = Int(try Quantity.count(run.lanes, option: "--lanes", in: 1...64))
        request.entrySize = try Choice.named(
            run.entry, option: "--entry", among: [("4K", EntrySize.small), ("2M", .large)])
        request.misalignments = try counts(run.misalign, "--misalign", 0...PageRange.frameLimit - 1)
            .map { PageCount($0) }
        if let pool = run.pool { request.pool = try Quantity.pages(pool, option: "--pool") }
        if let cache = run.cache { request.cache = try Quantity.pages(cache, option: "--cache") }
        if let limit = run.pinLimit {
            request.pinLimit = try Quantity.pages(limit, option: "--pin-limit")
        }
        if let memory = run.guestMemory {
            request.guestMemory = try Quantity.pages(memory, option: "--guest-memory")
        }
        request.usesEventfd = try Choice.named(
            run.notify, option: "--notify", among: [("poll", false), ("eventfd", true)])
        request.enforces = try Choice.named(
            run.enforce, option: "--enforce", among: [("none", false), ("mmu", true)])
        if let onFault = run.onFault {
            request.faultPolicy = try Choice.named(
                onFault, option: "--on-fault",
                among: FaultPolicy.allCases.map { ($0.rawValue, $0) })
        }
        try refuseUnused("--on-fault", run.onFault, request) { $0.info.exclusion == .faults }
        try refuseUnused("--pool", run.pool, request) { $0.info.exclusion == .bounce }
        try refuseUnused("--cache", run.cache, request) { $0.isCached }
        request.writes = !run.noWrite
        if let tolerance = run.untilStable {
            request.tolerance = try share(tolerance, "--until-stable")
        }
        let least = request.tolerance == nil ? 1 : UInt64(Stability.leastRounds)
        request.rounds = Int(
            try Quantity.count(
                run.rounds ?? (request.tolerance == nil ? "10" : "50"), option: "--rounds",
                in: least...1_000_000))
        request.operations = try optional(run.ops, "--ops", 1...1 << 40)
        if let seconds = run.seconds { request.seconds = try duration(seconds) }
        guard run.ops == nil || run.seconds == nil else {
            throw UsageError("--ops and --seconds: a turn ends by one of them; leave the other out")
        }
        request.memoryNode = try optional(run.memoryNode, "--memory-node", 0...1023).map { Int($0) }
        request.deviceProcessor = try optional(run.deviceCpu, "--device-cpu", 0...1023).map {
            Int($0)
        }
        if let list = run.vcpuCpu {
            request.vcpuProcessors = try Quantity.list(list, option: "--vcpu-cpu") {
                text throws(UsageError) in
                Int(try Quantity.count(text, option: "--vcpu-cpu", in: 0...1023))
            }
        }
        request.vcpus = try optional(run.vcpus, "--vcpus", 1...64).map { Int($0) }
        request.converterBlocks =
            try Choice.named(
                run.convertWait, option: "--convert-wait",
                among: [("poll", false), ("block", true)])
        request.quietRounds = try optional(run.quietOnly, "--quiet-only", 1...1000).map { Int($0) }
        request.seed = try Quantity.count(run.seed, option: "--seed", in: 0...UInt64.max)
        if let slowdown = run.testSlowDma {
            request.slowdown = try share(slowdown, "--test-slow-dma")
        }
        request.shard = try run.shard.map { text throws(UsageError) in try shard(text) }
        return request
    }

    private static func shard(_ text: String) throws(UsageError) -> Shard {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2 else {
            throw UsageError("--shard \(text): write which of how many, as in 1/3")
        }
        let option = "--shard \(text):"
        let count = try Quantity.count(String(parts[1]), option: option, in: 1...100_000)
        let index = try Quantity.count(String(parts[0]), option: option, in: 1...count)
        return Shard(index: Int(index), count: Int(count))
    }

    private static func strategies(_ text: String) throws(UsageError) -> [any PinStrategy.Type] {
        var names = Registry.all.map { ($0.info.name, [$0]) }
        names.append(("all", Registry.all))
        names.append(("safe", Registry.all.filter { $0.info.isSafe }))
        names.append(("unsafe", Registry.all.filter { !$0.info.isSafe }))
        let chosen = try Quantity.list(text, option: "--strategy") { name throws(UsageError) in
            try Choice.named(name, option: "--strategy", among: names)
        }.flatMap { $0 }
        var seen: Set<String> = []
        return chosen.filter { seen.insert($0.info.name).inserted }
    }

    /// Refuses an option that was given where none of the strategies uses it.
    private static func refuseUnused(
        _ option: String, _ text: String?, _ request: Request,
        uses: (any PinStrategy.Type) -> Bool
    ) throws(UsageError) {
        guard let text, !request.strategies.contains(where: uses) else { return }
        let users = Registry.all.filter(uses).map { $0.info.name }.joined(separator: ",")
        throw UsageError(
            "\(option) \(text): none of the strategies uses it; \(users) does (--strategy \(users))"
        )
    }

    private static func pages(_ text: String, _ option: String) throws(UsageError) -> [PageCount] {
        try Quantity.numbers(text, option: option, raw: \.bytes.rawValue) {
            element throws(UsageError) in
            try Quantity.pages(element, option: option)
        }
    }

    private static func counts(
        _ text: String, _ option: String, _ limits: ClosedRange<UInt64>
    ) throws(UsageError) -> [UInt64] {
        try Quantity.numbers(text, option: option, raw: \.self) { element throws(UsageError) in
            try Quantity.count(element, option: option, in: limits)
        }
    }

    private static func rates(_ text: String) throws(UsageError) -> [ConversionRate] {
        let option = "--convert-rate"
        return try Quantity.numbers(text, option: option, raw: \.order) {
            element throws(UsageError) in
            if element == "max" { return ConversionRate.max }
            return .perSecond(try Quantity.count(element, option: option, in: 0...10_000_000))
        }
    }

    private static func choices<Value>(
        _ text: String, _ option: String, _ names: [(String, Value)]
    ) throws(UsageError) -> [Value] {
        try Quantity.list(text, option: option) { name throws(UsageError) in
            try Choice.named(name, option: option, among: names)
        }
    }

    private static func optional(
        _ text: String?, _ option: String, _ limits: ClosedRange<UInt64>
    ) throws(UsageError) -> UInt64? {
        guard let text else { return nil }
        return try Quantity.count(text, option: option, in: limits)
    }

    private static func share(_ text: String, _ option: String) throws(UsageError) -> Double {
        let digits = text.dropLast()
        guard text.hasSuffix("%"), let percent = Double(digits), percent > 0, percent <= 100 else {
            throw UsageError("\(option) \(text): write a percentage above 0, as in 2%")
        }
        return percent / 100
    }

    private static func duration(_ text: String) throws(UsageError) -> Double {
        guard let seconds = Double(text), seconds > 0, seconds <= 86_400 else {
            throw UsageError("--seconds \(text): must be a number above 0, at most 86400")
        }
        return seconds
    }
}
