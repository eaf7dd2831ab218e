/// What a plan may vary besides the strategy: these and the strategy tell one cell from another.
package struct PlanColumn: Sendable {
    package let title: String
    /// The option that varies it between the cells of a run; nil where it is one for the whole run.
    package let option: String?
    /// The column of the schema.
    package let column: Column
    private let format: (@Sendable (Row) -> String)?

    private init(
        _ title: String, _ name: String, _ option: String? = nil,
        _ format: (@Sendable (Row) -> String)? = nil
    ) {
        self.title = title
        self.option = option
        column = Schema.column(name)!
        self.format = format
    }

    /// The row's value for people, and equal where it is the same choice; `Human.missing` where the
    /// strategy has no such thing.
    package func text(_ row: Row) -> String {
        if let format { return format(row) }
        let text = CSV.text(column.value(of: row))
        return text.isEmpty ? Human.missing : text
    }

    static let size = PlanColumn("size", "size_bytes", "--size") { Human.size(bytes: $0.sizeBytes) }

    package static let all: [PlanColumn] = [
        size,
        // Whose requests they are is a choice in every row: those of the harness are not those of a trace.
        PlanColumn("guest", "guest") { $0.guest ?? "harness" },
        PlanColumn("trace", "trace", "--trace") { $0.trace ?? "none" },
        PlanColumn("speed", "speed", "--speed") { $0.speed ?? "none" },
        PlanColumn("store", "store"),
        PlanColumn("queues", "queues"),
        PlanColumn("entry", "entry_bytes", "--entry") { Human.size(bytes: $0.entryBytes) },
        PlanColumn("chunk", "chunk_bytes", "--chunk") { part($0.chunkBytes, of: $0) },
        PlanColumn("pool", "pool_bytes", "--pool") { part($0.poolBytes, of: $0) },
        PlanColumn("cache", "cache_bytes", "--cache") { part($0.cacheBytes, of: $0) },
        PlanColumn("pin limit", "pin_limit_bytes", "--pin-limit") {
            $0.pinLimitBytes.map { Human.size(bytes: $0) } ?? Human.missing
        },
        PlanColumn("ranges", "ranges", "--ranges"),
        PlanColumn("spread", "spread_bytes", "--spread") {
            $0.spreadBytes.map { Human.size(bytes: $0) } ?? "packed"
        },
        PlanColumn("misalign", "misalign_bytes", "--misalign") {
            Human.size(bytes: $0.misalignBytes)
        },
        PlanColumn("policy", "policy", "--policy"),
        PlanColumn("devices", "devices", "--devices"),
        PlanColumn("buffers", "buffers", "--buffers"),
        PlanColumn("DMA/s due", "dma_rate_hz", "--dma-rate") {
            $0.dmaRateHz.map { CSV.text(JSON($0)) } ?? "max"
        },
        PlanColumn("arrivals", "dma_arrivals", "--dma-arrivals"),
        PlanColumn("depth", "depth", "--depth") { "\($0.depth ?? 1)" },
        PlanColumn("idle", "idle_ns", "--idle") { Human.duration($0.idleNs ?? 0) },
        PlanColumn("direction", "direction", "--direction") { $0.direction ?? "write" },
        PlanColumn("reads by", "read_engine", "--read-engine"),
        PlanColumn("engine", "engine", "--engine"),
        PlanColumn("lanes", "lanes", "--lanes"),
        PlanColumn("backing", "backing", "--backing"),
        PlanColumn("node", "memory_node"),
        PlanColumn("device CPU", "device_cpu"),
        PlanColumn("vCPU CPU", "vcpu_cpu"),
        PlanColumn("conv/s asked", "convert_rate_hz", "--convert-rate") {
            $0.convertRateHz.map { CSV.text(JSON($0)) } ?? "max"
        },
        PlanColumn("conv pages", "convert_pages", "--convert-pages"),
        PlanColumn("conv hold", "convert_hold_ns") {
            $0.convertHoldNs.map { Human.duration($0) } ?? Human.missing
        },
        PlanColumn("conv where", "convert_where", "--convert-where"),
        PlanColumn("conv to", "convert_to", "--convert-to"),
        PlanColumn("enforce", "enforce", "--enforce"),
        PlanColumn("on fault", "on_fault", "--on-fault"),
    ]

    private static func part(_ bytes: UInt64?, of row: Row) -> String {
        guard let bytes else { return Human.missing }
        if let size = row.sizeBytes, bytes >= size { return "whole" }
        return Human.size(bytes: bytes)
    }

    /// The columns in which plans differ. Where only some have a value it is of no matter to the
    /// others: a pool, or what to do on a fault.
    package static func varied(in plans: [Row]) -> [PlanColumn] {
        all.filter { column in
            Set(plans.map(column.text)).subtracting([Human.missing]).count > 1
        }
    }

    /// Whether the plans made the same choice, or one of them had none to make: no pool, nothing to
    /// do on a fault, or a file that is older than the column.
    package func agrees(_ left: Row, _ right: Row) -> Bool {
        let (one, other) = (text(left), text(right))
        return one == other || one == Human.missing || other == Human.missing
    }
}
