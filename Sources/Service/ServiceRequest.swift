import DmaLinux
import GuestMemory
import PinLock
import Settings
import VirtualDevice

/// What is asked of the service of a guest of somebody else's.
public struct ServiceRequest: Sendable {
    /// What holds for every turn; of it count strategy, engine, policy, conversions and seed.
    public var settings = TurnSettings()
    /// They take turns in the balanced order of rounds.
    public var strategies: [StrategyID] = []
    /// How long each turn lasts from its first request on, in nanoseconds.
    public var turn: UInt64 = 2_000_000_000
    public var store = StoreKind.null
    public var capacityInSectors: UInt64 = 0
    public var queues = 1
    /// No page of the guest may be above.
    public var pageLimit = PageCount(64 << 18)
    /// How long a request waits for pages that are being converted or private, in nanoseconds.
    public var timeout: UInt64 = 1_000_000_000
    public var isImplicit = false
    /// For how long the converter keeps a page, in nanoseconds.
    public var hold: UInt64 = 0
    /// What a device keeps pinned at most under strategies that keep pins until something else needs the room.
    public var cache = PageCount(1 << 14)

    public init() {}

    /// Why a strategy cannot serve a guest of somebody else's; nil where it can.
    public static func refusal(of strategy: any PinStrategy.Type) -> String? {
        let info = strategy.info
        if info.needsPool {
            return
                "its pool is the guest's: a guest with swiotlb=force has one, under any other strategy"
        }
        if info.protectsPages || info.hasPrivateFrames {
            return "it needs the mappings of the guest's VMM, which are not ours"
        }
        return nil
    }
}
