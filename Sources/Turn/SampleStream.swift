import Hypervisor
import PinLock
import Telemetry
import VirtualDevice

/// The samples of a turn's measured requests, one by one, for whoever wants to see each: the devices wait while nobody
/// takes them.
final class SampleStream {
    private let rings: [Ring]
    private let piecesPerRequest: UInt64

    /// One device's samples, and the request under way.
    private final class Ring {
        let device: DeviceHandle
        let stallsBefore: UInt64
        var samples: SampleRing.Consumer
        var request = DMASample()
        var pieces: UInt64 = 0

        init(_ device: DeviceHandle) {
            self.device = device
            stallsBefore = device.telemetry.ring.stalls
            samples = device.telemetry.ring.consumer()
        }

        /// Takes a piece; the request where that is over, since it was the last or it failed.
        func take(_ piece: DMASample, of count: UInt64) -> DMASample? {
            if pieces == 0 { request = piece } else { request.add(piece) }
            pieces += 1
            guard piece.status != 0 || pieces == count else { return nil }
            pieces = 0
            return request
        }
    }

    init(_ devices: [DeviceHandle], piecesPerRequest: UInt64) {
        rings = devices.map(Ring.init)
        self.piecesPerRequest = piecesPerRequest
    }

    /// Takes every sample there is.
    func drain(_ onSample: (DeviceID, DMASample) -> Void) {
        for ring in rings {
            ring.samples.drain { piece in
                // Read behind the sample, which was written behind it.
                guard let request = ring.take(piece, of: piecesPerRequest),
                    request.generation >= ring.device.telemetry.measuresFrom
                else { return }
                onSample(ring.device.id, request)
            }
        }
    }

    /// How often a device had to wait for room, between two requests.
    var stalls: UInt64 {
        rings.reduce(0) { $0 + ($1.device.telemetry.ring.stalls - $1.stallsBefore) }
    }
}
