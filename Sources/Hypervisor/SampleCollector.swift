import DmaWriter
import GuestMemory
import Linux
import PinLock
import Telemetry
import Virtqueue

/// Gathers what the devices of a turn measured: warm-up first, then what counts, and what the devices' half of the
/// oracle saw in either.
final class SampleCollector {
    let measurements = Measurements()
    /// Pages that were converted while a device had them pinned.
    private(set) var stalePages: UInt64 = 0
    private(set) var firstStale: String?
    /// Memory had settled before the measurement began.
    private(set) var isSettled = false
    private(set) var failures = FailureStreak()

    private var warmUp: WarmUp
    private let rings: [Ring]
    private let clock: TickClock
    private let countFromNextRequest: () -> UInt64
    private let piecesPerRequest: UInt64
    private var measuresFrom: UInt64?

    /// One device's samples, and the last of its requests.
    private final class Ring {
        let device: DeviceID
        let shared: SampleRing
        let stallsBefore: UInt64
        var samples: SampleRing.Consumer
        /// Its last request: the sum of the pieces that have come, and their generations.
        var request = DMASample()
        var generations: [UInt64] = []
        var isWhole = true

        init(_ device: DeviceHandle) {
            self.device = device.id
            shared = device.telemetry.ring
            stallsBefore = shared.stalls
            samples = shared.consumer()
        }

        /// Takes a piece; true where its request is over, since it was the last or it failed.
        func take(_ piece: DMASample, of count: UInt64) -> Bool {
            if isWhole {
                request = piece
                generations.removeAll(keepingCapacity: true)
            } else {
                request.add(piece)
            }
            generations.append(piece.generation)
            isWhole = piece.status != 0 || generations.count == count
            return isWhole
        }
    }

    /// `countFromNextRequest` is called when the measurement begins, and tells the first generation that counts.
    init(
        _ devices: [DeviceHandle], clock: TickClock, writes: Bool, piecesPerRequest: UInt64,
        countFromNextRequest: @escaping () -> UInt64
    ) {
        rings = devices.map(Ring.init)
        warmUp = WarmUp(writes: writes)
        self.clock = clock
        self.piecesPerRequest = piecesPerRequest
        self.countFromNextRequest = countFromNextRequest
    }

    var isMeasuring: Bool { measuresFrom != nil }

    /// Counts from the next request on; the one in flight began before.
    func startMeasuring() {
        guard measuresFrom == nil else { return }
        measuresFrom = countFromNextRequest()
    }

    /// Takes every sample there is. The measurement begins when memory has settled.
    func drain(_ onSample: (DeviceID, DMASample) -> Void) {
        for ring in rings {
            ring.samples.drain { piece in
                noteViolation(piece, by: ring.device)
                guard ring.take(piece, of: piecesPerRequest) else { return }
                let sample = ring.request
                failures.note(
                    StatusCode(rawValue: UInt32(sample.status)) ?? .ioError,
                    at: monotonicNanoseconds())
                if let first = measuresFrom {
                    guard sample.generation >= first else { return }
                    measurements.record(sample, clock: clock)
                    onSample(ring.device, sample)
                } else if sample.status == 0, warmUp.isDone(after: sample, clock: clock) {
                    isSettled = !warmUp.gaveUp
                    startMeasuring()
                }
            }
        }
    }

    /// How often a device had to wait for room in its ring, between two requests.
    var stalls: UInt64 { rings.reduce(0) { $0 + ($1.shared.stalls - $1.stallsBefore) } }

    /// The last request of each device that completed one last: its place among the devices, and its pieces.
    var lastCompleted: [(index: Int, generations: [UInt64])] {
        rings.enumerated().compactMap { index, ring in
            let isComplete = ring.isWhole && ring.request.status == 0 && !ring.generations.isEmpty
            return isComplete ? (index, ring.generations) : nil
        }
    }

    private func noteViolation(_ sample: DMASample, by device: DeviceID) {
        guard sample.stalePages > 0 else { return }
        stalePages += UInt64(sample.stalePages)
        let page = GFN(UInt64(sample.firstGFN))
        firstStale =
            firstStale
            ?? "\(page) was converted while \(device) held it for request \(sample.generation)"
    }
}
