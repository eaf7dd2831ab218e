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
