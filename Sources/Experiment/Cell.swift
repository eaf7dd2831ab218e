import Guest
import GuestMemory
import PinLock
import Settings

/// One combination of everything that a run varies.
public struct Cell: Sendable {
    /// Its place in the whole plan, whichever part of it is run.
    public internal(set) var index = 0
    /// With what is nil in the request decided: the chunk, and pool and cache of a strategy that has them.
    public let settings: TurnSettings
    public let map: MemoryMap
    /// What drives the device; nil where that are a driver's own requests.
    public var trace: ReplayedTrace?

    public var strategy: any PinStrategy.Type { settings.strategy.type }
    /// What a request is pinned by at once.
    public var chunk: PageCount { settings.chunk ?? settings.size }
    /// The pool of each device, where requests go through pools.
    public var pool: PageCount? { map.targets.isEmpty ? nil : map.buffers[0].pages }
}
