import GuestMemory
import Oracle
import PinLock
import Settings
import Telemetry
import Virtqueue

/// What a device is told at the start of a turn: its settings, and where its queue and its buffer are.
///
/// Plain data: it crosses the control socket as it lies in memory, between two processes of one executable.
public struct TurnSetup: BitwiseCopyable, Sendable {
    public var settings: TurnSettings
    /// Whether the device sleeps on the kick descriptor instead of polling.
    public var sleeps = false
    /// Whether it calls the driver where that wants to be, since it sleeps.
    public var calls = false
    /// Whether the hypervisor write-protects private pages in the device: it sends a `WriteProtection` behind its
    /// `ready`.
    public var isProtected = false

    public var rings: VirtqueueRings
    /// What is shared for as long as the queue is served: the rings, and whatever else the driver keeps there.
    public var queueArea: PageRange
    public var guestPages = PageCount(0)
    public var buffer = ScatterShape(start: GFN(0), pagesPerRange: PageCount(1), rangeCount: 1)
    /// Pages of a whole request, of a trace's largest. Where it has more than the buffer, that is a pool, and the request
    /// comes in pieces.
    public var requestPages = PageCount(0)
    /// In how many pieces a request comes.
    public var piecesPerRequest: UInt64 = 1
    /// How long a request tries to pin pages that are being converted.
    public var retryNanoseconds: UInt64 = 0
    /// Whether each sample goes through the telemetry's ring, where the device waits while that is full.
    public var streamsSamples = false
    /// The most that a core has been seen to do in this run, in adds a cycle; zero where nothing is known.
    public var bestAddsPerCycle = 0.0
    public var duty = DeviceDuty.serve
    public var scale: ClockScale

    public init(
        _ settings: TurnSettings, rings: VirtqueueRings, queueArea: PageRange, scale: ClockScale
    ) {
        self.settings = settings
        self.rings = rings
        self.queueArea = queueArea
        self.scale = scale
    }

    var strategy: any PinStrategy.Type { settings.strategy.type }

    /// A request is pinned, written and unpinned in segments of at most so many pages; none is larger than the buffer.
    var chunkPages: UInt64 { min(settings.chunk ?? buffer.pages, buffer.pages).rawValue }

    /// The device's part of what all may hold at once, its queue's pages included; nil where there is no limit.
    var pinLimit: PageCount? {
        settings.pinLimit.map { PageCount($0.rawValue / UInt64(settings.devices)) }
    }

    /// What a store that faults leads to; nil where it is a violation.
    var faultPolicy: FaultPolicy? {
        strategy.info.protectsPages ? settings.faultPolicy : nil
    }
}

/// What a device knows for the length of a turn: what it was told, and what it shares with whom.
struct DeviceTurn {
    let device: DeviceID
    let setup: TurnSetup
    let view: GuestView
    let ledger: ConversionLedger
    let clock: TickClock
    let telemetry: DeviceTelemetry
}

/// What a device does in a turn.
public enum DeviceDuty: UInt32, BitwiseCopyable, Sendable {
    /// Serves its queue until it is told to end.
    case serve
    /// Waits for the number of a page on the control socket and attacks that page: whether anything stops it?
    case attack
}

/// A device's answer on the control socket; a text may follow it.
public struct DeviceReply: BitwiseCopyable, Sendable {
    public enum Kind: UInt32, BitwiseCopyable, Sendable {
        /// The device serves its queue from now on.
        case ready
        /// The turn has ended: nothing is pinned.
        case done
        /// The device cannot do the turn; the text says why.
        case failed
        /// The same, since the kernel refused it something.
        case refused
    }

    public var kind: Kind
    /// Pins taken at set-up, in nanoseconds.
    public var setupPinNanoseconds: Double = 0
    /// One pin and unpin of the turn's request in a warm loop.
    public var hotPair = HotPair()
    /// Of the whole turn, once it is done.
    public var faults = FaultTotals()
    /// The longest time for which a request waited for a conversion, of the whole turn; zero where none did.
    public var longestPinWaitNanoseconds: UInt64 = 0
    /// What kept the device from its work while it was measured.
    public var interference = Interference()
    /// From `ready` until it is done, under a strategy that keeps pins.
    public var cache = CacheCounters()
    /// Of a device that attacks, once it is done.
    public var attack = RogueReport()

    init(_ kind: Kind) { self.kind = kind }
}

/// The descriptors a device process inherits, by number.
public enum InheritedDescriptor {
    public static let control: Int32 = 3
    public static let guestMemory: Int32 = 4
    public static let arena: Int32 = 5
    public static let ledger: Int32 = 6
    public static let telemetry: Int32 = 7
    /// Guest to device: requests are available.
    public static let kick: Int32 = 8
    /// Device to guest: requests were used.
    public static let call: Int32 = 9
    /// A packet socket to the hypervisor's side of the strategy.
    public static let service: Int32 = 10
}
