/// Every strategy there is: adding one is a file in Strategies/ and a line here.
public enum Registry {
    public static let all: [any PinStrategy.Type] = [
        None.self,
        PerPage.self,
        PerPageSWAR.self,
        RangeTree.self,
        Slots.self,
        LongLived.self,
        PinCache.self,
        IntervalTreeLock.self,
        MutexList.self,
        Epoch.self,
        RPC.self,
        OFDLock.self,
        Fault.self,
        Dual.self,
        Bounce.self,
        KernelPin.self,
        Toctou.self,
        SRCUv5.self,
    ]

    public static func strategy(named name: String) -> (any PinStrategy.Type)? {
        all.first { $0.info.name == name }
    }
}

/// A strategy of the registry by its place there: plain data, for settings that cross to another process of the same
/// executable.
public struct StrategyID: BitwiseCopyable, Hashable, Sendable {
    private let place: UInt32

    /// The strategy must be in the registry.
    public init(_ strategy: any PinStrategy.Type) {
        guard let place = Registry.all.firstIndex(where: { $0 == strategy }) else {
            preconditionFailure("\(strategy.info.name) is not in the registry")
        }
        self.place = UInt32(place)
    }

    public var type: any PinStrategy.Type { Registry.all[Int(place)] }
}
