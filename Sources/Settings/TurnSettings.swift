import DmaWriter
import GuestMemory
import PinLock

/// What is asked of a turn: every setting that decides what is measured, once, from the command line to the device.
///
/// Plain data: it crosses the control socket as it lies in memory, between two processes of one executable. Where a
/// setting is nil, what it means then depends on others, and stands at its use.
public struct TurnSettings: BitwiseCopyable, Hashable, Sendable {
    // MARK: The guest
    public var backing = Backing.memfd
    /// Pages of one request.
    public var size = PageCount(1 << 18)
    /// Ranges of a request's scatter-gather list.
    public var ranges = 1
    /// Where they lie.
    public var spread = Spread.usual
    /// Pages by which buffers miss their natural alignment.
    public var misalignment = PageCount(0)
    public var devices = 1
    public var placement = BufferPlacement.disjoint
    /// All of the guest's memory; nil for its buffers, its queues and some free memory.
    public var guestMemory: PageCount?

    // MARK: The load
    /// Requests of each device.
    public var dmaRate = LoopRate.max
    /// How they follow each other in an open loop.
    public var arrivals = Arrivals.poisson
    /// The most of a device's requests that are in flight at once.
    public var depth = 1
    /// How long a device has nothing to do between two requests of a closed loop.
    public var idleNanoseconds: UInt64 = 0
    public var direction = Direction.write

    // MARK: The devices
    public var strategy = StrategyID(RangeTree.self)
    public var entrySize = EntrySize.small
    /// A request is pinned, written and unpinned in segments of at most so many pages; nil for the whole request.
    public var chunk: PageCount?
    public var engine = FillEngine.nt
    public var readEngine = ReadEngine.load
    /// Threads of a device that write.
    public var lanes = 1
    /// False pins and unpins only.
    public var writes = true
    /// Whether devices and drivers tell each other through descriptors, and sleep, instead of polling.
    public var usesEventfd = false
    /// The pool of each device under strategies that need one; nil for one as large as the request.
    public var pool: PageCount?
    /// What a device keeps pinned between requests at most, under strategies that keep any; nil for as much as the
    /// request.
    public var cache: PageCount?
    /// What the devices may hold pinned at once, together and in equal parts; nil for as much as they like.
    public var pinLimit: PageCount?
    /// Whether private pages are write-protected in the devices.
    public var enforces = false
    /// What a device does that faults, under a strategy that lets it.
    public var faultPolicy = FaultPolicy.abort
    /// By which share each device's writes are made to take longer, to see whether a comparison notices.
    public var slowdown = 0.0

    /// How fast a trace is replayed.
    public var speed = TraceSpeed.times(1)

    // MARK: Conversions
    public var policy = ConflictPolicy.Kind.deny
    public var convertRate = LoopRate.perSecond(1000)
    /// Pages of each conversion.
    public var convertPages = PageCount(1)
    public var convertPlace = ConversionPlace.outside
    /// Whether the guest frees the pages that it makes private: what it leaves are holes.
    public var frees = false
    /// Whether the converter sleeps where a conversion waits, on a thread of its own, instead of polling.
    public var converterBlocks = false

    // MARK: The turn
    public var length = TurnLength.usual
    /// Of everything random.
    public var seed: UInt64 = 1

    public init() {}
}

/// Where the ranges of a request's scatter-gather list lie.
public enum Spread: BitwiseCopyable, Hashable, Sendable {
    /// Packed up to eight ranges, as fresh memory is; more are drawn from 1 GiB, or from four times what they take where
    /// that is more: used memory.
    case usual
    /// One behind the other, a page between two of them.
    case packed
    /// Drawn by the seed from so much memory of the device's own, in any order.
    case over(PageCount)
}

extension TurnSettings {
    /// Whether devices store anything to their buffers, and load anything from them.
    public var stores: Bool { writes && direction != .read }
    public var loads: Bool { writes && direction != .write }

    /// So many requests a queue has room for: of each direction as many as may be in flight.
    public var queuedRequests: Int {
        if case .mixed = direction { 2 * depth } else { depth }
    }

    /// The memory that a device's ranges are drawn from; nil where they are packed.
    public var drawnFrom: PageCount? {
        switch spread {
        case _ where ranges == 1: nil
        case .packed: nil
        case .over(let pages): pages
        case .usual where ranges <= 8: nil
        case .usual:
            PageCount(max(pagesPerGiB, min(size.rawValue, PageRange.frameLimit / 4) * 4))
        }
    }
}

/// When a turn ends.
public enum TurnLength: BitwiseCopyable, Hashable, Sendable {
    /// After four DMAs or more and 0.2 s.
    case usual
    /// After exactly so many DMAs.
    case operations(UInt64)
    /// After so much time, in seconds, and one DMA at least.
    case seconds(Double)
}
