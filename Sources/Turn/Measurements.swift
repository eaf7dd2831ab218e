import GuestMemory
import Hypervisor
import PinLock
import Telemetry
import VirtualDevice

/// What one turn's devices have measured and met: gathered once they have all said that they are done.
public final class Measurements {
    /// Of all devices together.
    public private(set) var requests = RequestStatistics()
    /// Of each device, in their order.
    public private(set) var interference: [Interference] = []
    /// For how long each device was within a request, in nanoseconds.
    private(set) var busyNanoseconds: [Double] = []
    /// What each has found converted under its pins, with the first page of all.
    public private(set) var firstStale: String?
    public private(set) var faults = FaultTotals()
    public private(set) var cache = CacheCounters()
    /// The longest time for which a request waited for a conversion, in nanoseconds; zero where none did.
    public private(set) var longestPinWait: UInt64 = 0

    init() {}

    func take(_ done: DeviceReply, of device: DeviceHandle) {
        let stored = device.telemetry.statistics
        requests.add(storedIn: stored)
        let own = stored.load(as: RequestStatistics.Totals.self)
        busyNanoseconds.append(own.busy)
        interference.append(done.interference)
        faults.add(done.faults)
        cache.add(done.cache)
        longestPinWait = max(longestPinWait, done.longestPinWaitNanoseconds)
        guard own.stalePages > 0, firstStale == nil else { return }
        firstStale =
            "\(GFN(own.firstStaleGFN)) was converted while \(device.id) held it for request \(own.firstStaleGeneration)"
    }
}
