import GuestMemory
import Telemetry

/// One pin and unpin in a warm loop: plain data for the control socket.
///
/// The median of batches, each between two looks at the core: a batch in which its other hardware thread was busy says
/// how fast a shared core is, and is taken again.
public struct HotPair: BitwiseCopyable, Sendable {
    public var nanoseconds: Double = 0
    /// What it stands on was measured on a core that had nothing else to do, as far as the looks can tell.
    public var isUndisturbed = true

    /// A batch is so long, or one pair.
    static let batchNanoseconds = 1_000_000.0
    /// So many batches are wanted, and so many tried for them.
    private static let wanted = 9
    private static let most = 45

    /// Gathers batches.
    struct Batches {
        private let best: Double
        private var probes = CoreProbeLog()
        private var taken: [(pair: Double, adds: Double)] = []

        /// `best` is what a core has shown so far, zero where that is not known.
        init(bestAddsPerCycle best: Double) { self.best = best }

        /// How much the core does now; nil where that cannot be told.
        mutating func probe(_ clock: TickClock) -> Double? {
            guard CoreProbe.isAvailable else { return nil }
            let adds = CoreProbe.addsPerCycle(clock)
            probes.record(adds)
            return adds
        }

        mutating func take(_ pair: Double, _ before: Double?, _ after: Double?) {
            taken.append((pair, min(before ?? .infinity, after ?? .infinity)))
        }

        private var threshold: Double { CoreProbeLog.sharedBelow * max(best, probes.best ?? 0) }
        private var alone: [Double] { taken.filter { $0.adds >= threshold }.map(\.pair) }

        var isEnough: Bool {
            taken.count >= HotPair.most
                || (taken.count >= HotPair.wanted && alone.count >= HotPair.wanted)
        }

        /// Of those that had the core to themselves, where there are enough of them for a median; else of all.
        var result: HotPair {
            let alone = alone
            let isUndisturbed = alone.count >= HotPair.wanted / 2
            let pairs = (isUndisturbed ? alone : taken.map(\.pair)).sorted()
            return HotPair(nanoseconds: pairs[pairs.count / 2], isUndisturbed: isUndisturbed)
        }
    }
}

extension RequestPins {
    /// One pin and unpin of `ranges` in a warm loop, without a write, in chunks of so many pages; nil where the pin is
    /// refused.
    mutating func hotPair(
        _ ranges: [PageRange], chunkPages: UInt64, clock: TickClock, bestAddsPerCycle: Double
    ) -> HotPair? {
        let isWhole = ranges.reduce(0) { $0 + $1.count.rawValue } <= chunkPages
        var cursor = ChunkCursor()
        cursor.reserve(ranges.count)
        var pairs = 1
        var batches = HotPair.Batches(bestAddsPerCycle: bestAddsPerCycle)
        while !batches.isEnough {
            let before = batches.probe(clock)
            let start = clock.now()
            for _ in 0..<pairs {
                if isWhole {
                    if tryToTake(ranges.span) != nil { return nil }
                    giveBack()
                    continue
                }
                cursor.start(ranges.count)
                while cursor.next(of: ranges, chunkPages: chunkPages) {
                    if tryToTake(cursor.chunk.span) != nil { return nil }
                    giveBack()
                }
            }
            let elapsed: Double = clock.nanoseconds(from: clock.now() &- start)
            if elapsed < HotPair.batchNanoseconds, pairs < 1 << 24 {
                pairs *= 2
            } else {
                batches.take(elapsed / Double(pairs), before, batches.probe(clock))
            }
        }
        return batches.result
    }
}
