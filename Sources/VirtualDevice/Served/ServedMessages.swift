import DmaWriter
import GuestMemory
import PinLock
import Telemetry
import VhostUser

/// What a device process is told once that serves a guest of somebody else's: plain data over the control channel.
public struct ServedSetup: BitwiseCopyable, Sendable {
    /// What capacities count.
    public static let sectorByteCount = BlockDevice.sectorSize

    public var store = StoreKind.null
    /// What a `fill` writes with.
    public var engine = FillEngine.nt
    public var capacityInSectors: UInt64 = 0
    public var queueCount = 1
    /// What arena and ledger have room for: no page of the guest may be above.
    public var pageLimit = PageCount(0)
    /// How long a request waits for pages that are being converted or private, in nanoseconds.
    public var timeout: UInt64 = 1_000_000_000
    /// Whether pages are shared by the first request that names them.
    public var isImplicit = false
    /// Whether requests are recorded in `ServedDescriptor.recording`.
    public var records = false
    public var scale: ClockScale

    public init(scale: ClockScale) { self.scale = scale }
}

/// Where the data of a served device is.
public enum StoreKind: UInt32, BitwiseCopyable, Sendable {
    /// Nothing is moved.
    case null
    /// The device writes by its engine, and reads into nothing.
    case fill
    /// Shared memory, or a file: the descriptor `ServedDescriptor.store(records:)`.
    case memory, file
}

/// What the hypervisor says to a device that serves.
public enum ServedCommand: BitwiseCopyable, Sendable {
    case setUp(ServedSetup)
    /// Serve under this strategy from now on; one that keeps pins may keep so much.
    case begin(StrategyID, cache: PageCount)
    /// Fetch nothing more, give all pins back, hand the statistics over.
    case end
    /// The answer to `memoryChanged`: the new pages have their state.
    case memoryReady
    /// The answer to `share`.
    case shared
}

/// What a device that serves says to its hypervisor; a text may follow.
public enum ServedReport: BitwiseCopyable, Sendable {
    /// The answer to `begin`: requests are served; with what pins at set-up took, in nanoseconds.
    case begun(setupPin: Double)
    /// The answer to `end`.
    case ended(ServedTotals)
    /// Guest memory is another: `ServedTelemetry.regions`. The device has no pins, and waits.
    case memoryChanged
    /// Pages that were never shared are wanted. The device waits.
    case share(PageRange)
    /// A queue is broken, or cannot be begun with; the text says why.
    case queueLost(Int)
    /// The front-end has gone, or was sent away: then the text says why. The process ends.
    case closed
    /// The guest has memory up to here, which is above the limit. The process ends.
    case tooMuchMemory(PageCount)
    /// The device cannot go on. The process ends.
    case failed
}

/// What a turn came to besides `RequestStatistics`.
public struct ServedTotals: BitwiseCopyable, Sendable {
    public var inRequests: UInt64 = 0
    public var inBytes: UInt64 = 0
    public var outRequests: UInt64 = 0
    public var outBytes: UInt64 = 0
    /// Lists of pages that were tried again, since one was being converted or private.
    public var pageWaits: UInt64 = 0
    public var longestWaitNanoseconds: UInt64 = 0
    /// From the first request until the end, in nanoseconds.
    public var spanNanoseconds: Double = 0
    /// On a processor in that time, in nanoseconds.
    public var processorNanoseconds: UInt64 = 0
    /// What kept the device from its work in that time.
    public var interference = Interference()

    public init() {}
}

/// The descriptors that a device which serves inherits, by number.
public enum ServedDescriptor {
    public static let control: Int32 = 3
    /// The front-end's connection.
    public static let connection: Int32 = 4
    public static let arena: Int32 = 5
    public static let ledger: Int32 = 6
    public static let telemetry: Int32 = 7
    /// A packet socket to the hypervisor's side of the strategy.
    public static let service: Int32 = 8
    /// There where requests are recorded: a `TraceRing`.
    public static let recording: Int32 = 9
    /// There where the store has one.
    public static func store(records: Bool) -> Int32 { records ? recording + 1 : recording }
}
