import DmaWriter
import GuestMemory
import PinLock
import Telemetry

/// Gathers what the devices of a turn measured: warm-up first, then what counts, and what the devices' half of the
/// oracle saw in either.
final class SampleCollector {
    let measurements = Measurements()
    /// Pages that were converted while a device had them pinned.
    private(set) var stalePages: UInt64 = 0
    private(set) var firstStale: String?
    /// Memory had settled before the measurement began.
    private(set) var isSettled = false

    private var warmUp: WarmUp
    private let rings: [Ring]
    private let clock: TickClock
    private let newestGeneration: () -> UInt64
    private var measuresFrom: UInt64?

    /// One device's samples, and the last of its requests.
    private final class Ring {
        let device: DeviceID
        let shared: SampleRing
        let stallsBefore: UInt64
        var samples: SampleRing.Consumer
        var last: DMASample?

        init(_ device: DeviceHandle) {
            self.device = device.id
            shared = device.telemetry.ring
            stallsBefore = shared.stalls
            samples = shared.consumer()
        }
    }

    /// `newestGeneration` tells which request was submitted last.
    init(
        _ devices: [DeviceHandle], clock: TickClock, writes: Bool,
        newestGeneration: @escaping () -> UInt64
    ) {
        rings = devices.map(Ring.init)
        warmUp = WarmUp(writes: writes)
        self.clock = clock
        self.newestGeneration = newestGeneration
    }

    var isMeasuring: Bool { measuresFrom != nil }

    /// Counts from the next request on; the one in flight began before.
    func startMeasuring() {
        guard measuresFrom == nil else { return }
        measuresFrom = newestGeneration() + 1
    }

    /// Takes every sample there is. The measurement begins when memory has settled.
    func drain(_ onSample: (DeviceID, DMASample) -> Void) {
        for ring in rings {
            ring.samples.drain { sample in
                ring.last = sample
                noteViolation(sample, by: ring.device)
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

    /// The last request of each device that completed one last, with its place among the devices.
    var lastCompleted: [(index: Int, sample: DMASample)] {
        rings.enumerated().compactMap { index, ring in
            ring.last.flatMap { $0.status == 0 ? (index, $0) : nil }
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
