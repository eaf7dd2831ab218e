import DmaLinux
import DmaWriter
import GuestMemory

/// How long a plan will take: guessed from a few milliseconds' work on this machine.
///
/// A turn is its guest's boot, the hot loop, some windows of warm-up, and DMAs for as long as `TurnPlan` says. A DMA is
/// its write; what locking adds, and what others leave of the machine, nobody knows before.
public struct Estimate: Sendable {
    /// Little enough for a few milliseconds, too much for caches to matter under non-temporal stores.
    public static let probeBytes = ByteCount(4 << 20)

    /// Of the whole run, and of that the first touch of guest memory.
    public let nanoseconds: Double
    public let prefaultNanoseconds: Double

    public init(_ plan: Plan) throws(SystemError) {
        let request = plan.request
        let processors = try Processors.allowed().count
        let probe = try Probe(request.settings.engine, isNeeded: request.settings.writes)
        prefaultNanoseconds = plan.backings.reduce(0) { sum, backing in
            let pages = plan.cells.filter { $0.settings.backing == backing }.map(\.map.pages)
            let bytes = Double(pages.max()!.bytes.rawValue)
            return sum + bytes * probe.touchNanoseconds / Double(processors)
        }
        let turns = plan.cells.reduce(0) { $0 + Self.turn($1, probe, processors) }
        nanoseconds = prefaultNanoseconds + turns * Double(request.rounds)
    }

    private static func turn(
        _ cell: Cell, _ probe: Probe, _ processors: Int
    ) -> Double {
        let settings = cell.settings
        let sharing = (Double(settings.devices) / Double(max(1, processors - 1))).rounded(.up)
        let layout = cell.trace?.layout
        let bytes =
            layout.map { Double($0.byteCount) / Double($0.count) }
            ?? Double(settings.size.bytes.rawValue)
        let dma = bytes * probe.writeNanoseconds * sharing
        // The distance of two requests, late or not.
        let cycle =
            switch settings.dmaRate {
            case _ where layout != nil:
                max(dma, Double(layout!.span) / Double(layout!.count) / settings.speed.factor)
            case .max: dma + Double(settings.idleNanoseconds)
            case .perSecond(let rate): max(dma, 1e9 / Double(rate) / Double(settings.devices))
            }
        // Sharing the buffers, canaries, and the look at every page afterwards.
        let boot = 10e6 + Double(cell.map.pages.rawValue) * 100
        // Five batches of 2 to 4 ms, and what it takes to find their length.
        let hotLoop = 18e6
        // Three to eight windows of at least 2 ms.
        let warmUp = settings.writes ? 5 * max(3e6, dma) : 0
        let measured =
            switch settings.length {
            case .usual where layout != nil: Double(layout!.count) * cycle
            case .usual: max(200e6, 4 * cycle)
            case .operations(let count): Double(count) * cycle
            case .seconds(let seconds): seconds * 1e9
            }
        return boot + hotLoop + warmUp + measured + dma / 2
    }

    /// What a byte of guest memory costs here and now, in nanoseconds, on one processor.
    private struct Probe {
        var touchNanoseconds = 0.0
        var writeNanoseconds = 0.0

        init(_ engine: FillEngine, isNeeded: Bool) throws(SystemError) {
            guard isNeeded, engine.isAvailable else { return }
            let memory = try SharedMapping.create(
                name: "estimate", byteCount: Int(Estimate.probeBytes.rawValue))
            touchNanoseconds = try Self.perByte { piece throws(SystemError) in
                try memory.populate(piece)
            }
            let writer = try DmaWriter(engine: engine, lanes: 1, device: 0)
            let stamp = writer.stamp(generation: 1)
            writer.prepare(stamp)
            writeNanoseconds = try Self.perByte { piece throws(SystemError) in
                writer.write(
                    UnsafeMutableRawBufferPointer(
                        start: memory.base + piece.lowerBound, count: piece.count),
                    stamp: stamp)
            }
        }

        /// Over the median of 32 pieces: one in which another process had the processor says nothing.
        private static func perByte(
            _ work: (Range<Int>) throws(SystemError) -> Void
        ) throws(SystemError) -> Double {
            let size = Int(Estimate.probeBytes.rawValue) / 32
            var times: [UInt64] = []
            for start in stride(from: 0, to: 32 * size, by: size) {
                let begin = monotonicNanoseconds()
                try work(start..<start + size)
                times.append(monotonicNanoseconds() - begin)
            }
            return Double(times.sorted()[16]) / Double(size)
        }
    }
}
