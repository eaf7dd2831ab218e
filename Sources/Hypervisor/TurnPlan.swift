import DmaWriter
import Guest
import GuestMemory
import Linux
import PinLock
import VirtualDevice

/// What happens in one turn: one strategy, one guest, DMAs until there are enough.
public struct TurnPlan: Sendable {
    public var strategy: any PinStrategy.Type
    public var policy: ConflictPolicy.Kind
    public var entrySize: EntrySize
    public var map: MemoryMap
    public var engine: FillEngine
    public var lanes: Int
    /// False pins and unpins only.
    public var writes: Bool
    public var chunk: PageCount
    /// What each device keeps pinned between requests at most, under a strategy that keeps any.
    public var cache: PageCount
    /// What the devices may hold pinned at once, together and in equal parts; nil for as much as they like.
    public var pinLimit: PageCount?
    /// Where devices and vCPUs run, and who of them sleeps.
    public var processors: ProcessorLayout

    /// Conversions a second; zero for none, infinity for one after the other.
    public var convertRate: Double
    public var convertPages: PageCount
    public var convertPlace: Converter.Place
    /// Whether the guest frees the pages that it makes private: what it leaves are holes.
    public var frees: Bool
    /// How long a conversion waits for a pin, and a pin for a conversion.
    public var patienceNanoseconds: UInt64
    /// Whether the converter's thread sleeps where a conversion waits, with a thread of its own, instead of polling.
    public var converterBlocks: Bool
    /// Whether each sample is wanted.
    public var streamsSamples: Bool
    /// The most that a core has been seen to do in this run, in adds a cycle; zero where nothing is known.
    public var bestAddsPerCycle: Double
    /// Whether private pages are write-protected in the devices.
    public var enforces: Bool
    /// What a device does that faults, under a strategy that lets it.
    public var faultPolicy: FaultPolicy
    /// Whether the device attacks instead of serving: see `VirtualMachine.trial`.
    var isTrial = false
    public var seed: UInt64
    /// By which share each device's writes are made to take longer: `--test-slow-dma`.
    public var slowdown = 0.0

    /// The turn ends when there are so many DMAs and so much time has passed.
    public var operations: UInt64
    /// Whether it is no more DMAs than that.
    public var isExact: Bool
    public var nanoseconds: UInt64
    /// It ends after so much time in any case, once there is one DMA and none is in flight.
    public var nanosecondLimit: UInt64

    public init(
        strategy: any PinStrategy.Type, map: MemoryMap, processors: ProcessorLayout
    ) {
        self.strategy = strategy
        self.map = map
        policy = .deny
        entrySize = .small
        engine = .nt
        lanes = 1
        writes = true
        chunk = map.buffers[0].pages
        cache = map.buffers[0].pages
        self.processors = processors
        converterBlocks = false
        streamsSamples = false
        bestAddsPerCycle = 0
        convertRate = 0
        convertPages = PageCount(1)
        convertPlace = .outside
        frees = false
        patienceNanoseconds = 1_000_000_000
        enforces = false
        faultPolicy = .abort
        seed = 1
        operations = 4
        isExact = false
        nanoseconds = 200_000_000
        nanosecondLimit = 60_000_000_000
    }
}

/// Why the machine cannot go on.
public enum MachineError: Error, CustomStringConvertible {
    case system(SystemError)
    /// The kernel refused a device process what it needs; the text names both.
    case refused(String)
    /// A device process died or broke its protocol; the text names it.
    case device(String)
    /// The same, once its pins have been recovered, or why they were not, and how many are left.
    case recovered(String, refusal: RecoveryRefusal?, leakedPins: Int)
    /// Whoever started the run wants it to end: the turn came to no result.
    case interrupted
    /// What must never happen: the guest, the table and a strategy disagree.
    case internalFault(String)

    /// Whether it is the machine that lacks or forbids something.
    public var isRefusal: Bool {
        switch self {
        case .system, .refused: true
        case .device, .recovered, .interrupted, .internalFault: false
        }
    }

    public var description: String {
        switch self {
        case .system(let error): error.description
        case .refused(let text), .device(let text): text
        case .recovered(let text, nil, let leaked):
            "\(text); after recovery of its pins leaked_pins is \(leaked)"
        case .recovered(let text, let refusal?, let leaked):
            "\(text); its pins cannot be recovered: \(refusal); leaked_pins is \(leaked)"
        case .interrupted: "interrupted"
        case .internalFault(let text): "internal error: \(text)"
        }
    }
}
