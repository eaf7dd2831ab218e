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
    public var run = ""
    public var round = 0
    public var position = 0
    public var strategy = ""
    public var safe = false
    public var policy = ""
    public var sizeBytes: UInt64?
    public var entryBytes: UInt64 = 0
    public var chunkBytes: UInt64?
    public var ranges: Int?
    public var misalignBytes: UInt64?
    public var devices = 0
    public var engine: String?
    public var lanes: Int?
    public var backing: String?
    public var memoryNode: Int?
    public var deviceCpu: [Int] = []
    public var vcpuCpu: [Int] = []
    public var convertRateHz: Double?
    public var convertPages: UInt64 = 0
    public var convertWhere = ""
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
    public var status = Status.ok
    public var env = ""
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
    public var pinNsMean: Double?
    public var unpinNsMean: Double?
    public var convertCallNsP50: Double?
    public var convertCallNsP99: Double?
    public var convertUndisturbedNsP99: Double?
    public var conversionsDisturbed: UInt64?
    public var convertCheckNsMean: Double?
    public var deniedCallNsP50: Double?
    public var deniedCallNsP99: Double?
    public var conversionsBusy: UInt64?
    public var convertWait: String?
    public var notify: String?
    public var deviceBusy: [Double] = []
    public var deviceGaps: UInt64?
    public var deviceGapShare: Double?
    public var deviceGapNsMax: Double?
    public var deviceSharedShare: Double?
    public var deviceWaitShare: Double?
    public var devicePreempted: UInt64?
    public var deviceFaults: UInt64?
    public var vcpuGaps: UInt64?
    public var vcpuGapShare: Double?
    public var vcpuGapNsMax: Double?
    public var vcpuSharedShare: Double?
    public var vcpuWaitShare: Double?
    public var vcpuPreempted: UInt64?
    public var vcpuFaults: UInt64?
    public var vcpuStepNsMax: Double?
    public var throttledNs: UInt64?
    public var stops: UInt64?
    public var ranCpu: [Int] = []
    public var spreadBytes: UInt64?
    public var guest: String?
    public var store: String?
    public var queues: Int?
    public var inRequests: UInt64?
    public var inBytes: UInt64?
    public var outRequests: UInt64?
    public var outBytes: UInt64?
    public var segmentsP50: UInt64?
    public var segmentsP99: UInt64?
    public var segmentsMax: UInt64?
    public var depthP50: UInt64?
    public var depthMax: UInt64?
    public var pageWaits: UInt64?
    public var deviceCpuNs: Double?
    public var convertHoldNs: Double?
    public var dmaRateHz: Double?
    public var dmaArrivals: String?
    public var depth: Int?
    public var idleNs: Double?
    public var dueNsP50: Double?
    public var dueNsP99: Double?
    public var backlogMax: UInt64?
    public var direction: String?
    public var readEngine: String?
    public var trace: String?
    public var speed: String?

    /// A row of nothing yet.
    public init() {}
}

extension Row {
    /// The percentiles that `convertNsCdf` holds, in its order. They are part of the format: another list is another
    /// column.
    public static let distributionPercents: [Double] = [
        1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.9, 99.99, 100,
    ]
}
