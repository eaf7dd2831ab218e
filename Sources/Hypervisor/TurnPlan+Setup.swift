import DmaWriter
import GuestMemory
import PinLock
import Telemetry
import VirtualDevice

extension TurnPlan {
    /// Whether the devices' page tables keep them from private pages.
    var protects: Bool { writes && (enforces || strategy.info.exclusion == .faults) }

    /// What the device at `index` is told of the turn.
    func setup(ofDevice index: Int, scale: ClockScale) -> TurnSetup {
        var setup = TurnSetup(scale: scale)
        setup.strategy = UInt32(Registry.all.firstIndex { $0 == strategy }!)
        setup.engine = UInt32(FillEngine.allCases.firstIndex(of: engine)!)
        setup.lanes = UInt32(lanes)
        setup.writes = writes ? 1 : 0
        setup.sleeps = processors.devicesSleep ? 1 : 0
        setup.calls = processors.vcpusSleep ? 1 : 0
        setup.queueSize = UInt32(map.queueLayout.queueSize)
        setup.queueDataDescriptors = UInt32(map.queueLayout.dataDescriptors)
        setup.queueStart = map.queueStarts[index].rawValue
        setup.guestPages = map.pages.rawValue
        setup.buffer = map.buffers[index]
        setup.requestPages = (map.targets.first ?? map.buffers[index]).pages.rawValue
        // A piece is never larger than its pool.
        setup.chunkPages = min(chunk, map.buffers[index].pages).rawValue
        setup.piecesPerRequest = map.piecesPerRequest
        setup.streamsSamples = streamsSamples ? 1 : 0
        setup.bestAddsPerCycle = bestAddsPerCycle
        setup.slowdown = slowdown
        setup.cachePages = cache.rawValue
        setup.pinLimitPages = (pinLimit?.rawValue ?? 0) / UInt64(map.buffers.count)
        setup.retryNanoseconds = patienceNanoseconds
        setup.enforces = protects ? 1 : 0
        setup.isRogue = isTrial ? 1 : 0
        if strategy.info.exclusion == .faults {
            setup.faultPolicy = 1 + UInt32(FaultPolicy.allCases.firstIndex(of: faultPolicy)!)
        }
        return setup
    }
}
