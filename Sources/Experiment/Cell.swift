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
    public let misalignment: PageCount
    public let devices: Int
    /// The pool of each device, where requests go through pools.
    public var pool: PageCount? { map.targets.isEmpty ? nil : map.buffers[0].pages }
    public let map: MemoryMap
}

/// One combination of everything that a run varies.
public struct Cell: Sendable {
    /// Its place in the whole plan, whichever part of it is run.
    public internal(set) var index = 0
    public let strategy: any PinStrategy.Type
    public let shape: Shape
    public let chunk: PageCount
    /// What each device keeps pinned between requests at most, where the strategy keeps any.
    public let cache: PageCount?
    public let engine: FillEngine
    public var policy = ConflictPolicy.Kind.deny
    public var convertRate: ConversionRate = 0
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

/// How often the guest asks for conversions.
public enum ConversionRate: Hashable, Sendable, CustomStringConvertible, ExpressibleByIntegerLiteral
{
    /// So many a second, whatever becomes of them: an open loop.
    case perSecond(UInt64)
    /// The next one as soon as one is answered: a closed loop.
    case max

    public init(integerLiteral value: UInt64) { self = .perSecond(value) }

    /// Conversions a second; infinity where there is no such number.
    public var hertz: Double {
        switch self {
        case .perSecond(let count): Double(count)
        case .max: .infinity
        }
    }

    /// Its place among rates.
    public var order: UInt64 {
        switch self {
        case .perSecond(let count): count
        case .max: .max
        }
    }

    public var description: String {
        switch self {
        case .perSecond(let count): "\(count)"
        case .max: "max"
        }
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
    public var misalignments: [PageCount] = [PageCount(0)]
    public var devices: [Int] = [1]
    public var engines: [FillEngine] = [.nt]
    public var backings: [Backing] = [.memfd]
    public var convertRates: [ConversionRate] = [1000]
    public var convertPages: [PageCount] = [PageCount(1)]
    public var convertPlace = Converter.Place.outside
    /// Whether pages that become private are freed: `--convert-to free`.
    public var frees = false

    public var placement = MemoryMap.Placement.disjoint
    public var entrySize = EntrySize.small
    /// The pool of each device of strategies that need one; nil for one as large as the request.
    public var pool: PageCount?
    /// What devices of strategies that keep pins keep at most; nil for as much as the request.
    public var cache: PageCount?
    /// What the devices may hold pinned at once, together and in equal parts; nil for as much as they like.
    public var pinLimit: PageCount?
    public var guestMemory: PageCount?
    public var lanes = 1
    public var writes = true
    public var usesEventfd = false
    /// Whether the converter sleeps where a conversion waits: `--convert-wait block`.
    public var converterBlocks = false
    /// Whether private pages are write-protected in the devices.
    public var enforces = false
    public var faultPolicy = FaultPolicy.abort
    public var rounds = 10
    /// Rounds end before that where every median is known to such a share of itself; nil where they do not.
    public var tolerance: Double?
    /// Rounds go on until every cell has so many that nothing disturbed; nil where they do not.
    public var quietRounds: Int?
    public var operations: UInt64?
    public var seconds: Double?
    public var seed: UInt64 = 1
    /// By which share each device's writes are made to take longer, to see whether a comparison notices.
    public var slowdown = 0.0
    public var memoryNode: Int?
    public var deviceProcessor: Int?
    public var vcpuProcessors: [Int] = []
    public var vcpus: Int?
    /// The part of the plan that this run carries out; nil for all of it.
    public var shard: Shard?

    public init() {}
}

/// One of `count` parts of a plan, counted from 1. Their union is the plan, and no cell is in two.
public struct Shard: Sendable, Equatable, CustomStringConvertible {
    public let index: Int
    public let count: Int

    public init(index: Int, count: Int) {
        precondition((1...count).contains(index), "no shard \(index)/\(count)")
        self.index = index
        self.count = count
    }

    public var description: String { "\(index)/\(count)" }
}
