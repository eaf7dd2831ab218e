/// What was measured of one cell of the plan in one round: a line of the output.
///
/// One property per column of `Schema`, in its order, where each is explained. What was not
/// measured is nil, never zero.
public struct Row: Sendable, Equatable {
    /// How the measurement of a row ended.
    public enum Status: Sendable, Equatable, CustomStringConvertible {
        case ok
        case interrupted
        case violation
        case failed(String)
        case unavailable(String)

        public var description: String {
            switch self {
            case .ok: "ok"
            case .interrupted: "interrupted"
            case .violation: "violation"
            case .failed(let reason): "failed:" + reason
            case .unavailable(let reason): "unavailable:" + reason
            }
        }
    }

    public internal(set) var schema = Schema.version
    public var run: String
    public var round: Int
    public var position: Int
    public var strategy: String
    public var safe: Bool
    public var policy: String
    public var sizeBytes: UInt64
    public var entryBytes: UInt64
    public var chunkBytes: UInt64
    public var ranges: Int
    public var misalignBytes: UInt64
    public var devices: Int
    public var engine: String
    public var lanes: Int
    public var backing: String
    public var memoryNode: Int?
    public var deviceCpu: [Int] = []
    public var vcpuCpu: [Int] = []
    public var convertRateHz: Double?
    public var convertPages: UInt64
    public var convertWhere: String
    public var ops: UInt64?
    public var refused: UInt64?
    public var pinNsP50: Double?
    public var pinNsP99: Double?
    public var pinNsMax: Double?
    public var writeNsP50: Double?
    public var writeNsP99: Double?
    public var writeNsMax: Double?
    public var unpinNsP50: Double?
    public var unpinNsP99: Double?
    public var unpinNsMax: Double?
    public var dmaNsP50: Double?
    public var dmaNsP99: Double?
    public var syncShare: Double?
    public var writeBytesPerS: Double?
    public var pairHotNs: Double?
    public var conversions: UInt64?
    public var conversionsDenied: UInt64?
    public var conversionsWaited: UInt64?
    public var conversionsRevoked: UInt64?
    public var convertNsP50: Double?
    public var convertNsP99: Double?
    public var convertNsMax: Double?
    public var violationsPrivate: UInt64?
    public var violationsStale: UInt64?
    public var faults: UInt64?
    public var leakedPins: UInt64?
    public var metadataBytes: UInt64?
    public var setupPscNs: Double?
    public var setupPinNs: Double?
    public var splits: UInt64?
    public var copyNsP50: Double?
    public var clockNs: Double?
    public var noisy: [String] = []
    public var status: Status
    public var env: String
    public var outsideShare: Double?
    public var enforce: String?
    public var onFault: String?
    public var lostBytes: UInt64?
    public var surprises: UInt64?
    public var recoveryNsMean: Double?
    public var recoveryNsMax: Double?
    public var convertTo: String?
    public var poolBytes: UInt64?
    public var buffers: String?
    public var sharedPages: UInt64?
    public var sharedLines: Int?
    public var retries: UInt64?
    public var cacheBytes: UInt64?
    public var cacheHits: UInt64?
    public var cacheMisses: UInt64?
    public var cacheMerges: UInt64?
    public var cacheInvalidations: UInt64?
    public var cacheEvictions: UInt64?
    public var plan: String?
    public var revision: String?
    public var convertNsCdf: [UInt64] = []
    public var exclusion: String?
    public var convertLoop: String?
    public var deniedShare: Double?
    public var deniedNsMax: Double?
    public var convertWaitNsMax: Double?
    public var pinWaitNsMax: Double?
    public var pinLimitBytes: UInt64?
    public var clockStepNs: Double?

    /// A row of the plan with nothing measured yet; `env` is `Environment.hash`.
    public init(
        run: String, round: Int, position: Int, strategy: String, safe: Bool, policy: String,
        sizeBytes: UInt64, entryBytes: UInt64, chunkBytes: UInt64, ranges: Int,
        misalignBytes: UInt64, devices: Int, engine: String, lanes: Int, backing: String,
        convertRateHz: Double?, convertPages: UInt64, convertWhere: String, status: Status,
        env: String
    ) {
        self.run = run
        self.round = round
        self.position = position
        self.strategy = strategy
        self.safe = safe
        self.policy = policy
        self.sizeBytes = sizeBytes
        self.entryBytes = entryBytes
        self.chunkBytes = chunkBytes
        self.ranges = ranges
        self.misalignBytes = misalignBytes
        self.devices = devices
        self.engine = engine
        self.lanes = lanes
        self.backing = backing
        self.convertRateHz = convertRateHz
        self.convertPages = convertPages
        self.convertWhere = convertWhere
        self.status = status
        self.env = env
    }
}

extension Row {
    /// The percentiles that `convertNsCdf` holds, in its order. They are part of the format: another list is another
    /// column.
    public static let distributionPercents: [Double] = [
        1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.9, 99.99, 100,
    ]

    /// What a file's columns are read into.
    static let blank = Row(
        run: "", round: 0, position: 0, strategy: "", safe: false, policy: "", sizeBytes: 0,
        entryBytes: 0, chunkBytes: 0, ranges: 0, misalignBytes: 0, devices: 0, engine: "", lanes: 0,
        backing: "", convertRateHz: 0, convertPages: 0, convertWhere: "", status: .ok, env: "")
}
