/// One DMA as the device saw it: 64 bytes, one cache line, plain data.
public struct DMASample: BitwiseCopyable, Sendable, Equatable {
    /// The request's generation: what the device wrote into every line.
    public var generation: UInt64 = 0
    public var bytes: UInt64 = 0
    /// Time in the three phases, and from the first pin to the last unpin, in ticks.
    public var pinTicks: UInt64 = 0
    public var writeTicks: UInt64 = 0
    public var unpinTicks: UInt64 = 0
    public var totalTicks: UInt64 = 0
    /// The first page that refused the pin or was found violated, where `status` or `stalePages` says that one did.
    public var firstGFN: UInt32 = 0
    /// Pages converted while they were pinned; `UInt32.max` is that many or more.
    public var stalePages: UInt32 = 0
    /// Two parts of 40 bits: a whole word would not fit the line.
    private var gapLower: UInt32 = 0
    /// Pins tried again because a conversion was in progress; `UInt16.max` is that many or more.
    public var retries: UInt16 = 0
    private var gapUpper: UInt8 = 0
    /// How the request ended: zero for completed, else the device's code.
    public var status: UInt8 = 0

    /// Ticks from the previous request's last unpin to this one's first pin: completion, driver, queue; `gapLimit`
    /// is that many or more.
    public var gapTicks: UInt64 {
        get { UInt64(gapUpper) << 32 | UInt64(gapLower) }
        set {
            let ticks = min(newValue, Self.gapLimit)
            gapLower = UInt32(truncatingIfNeeded: ticks)
            gapUpper = UInt8(ticks >> 32)
        }
    }
    /// 4.6 minutes of a clock of 4 GHz.
    public static var gapLimit: UInt64 { (1 << 40) - 1 }

    public init() {}

    /// Takes in the next piece of the same request: its times and bytes are added, how it ended is how the request
    /// ends. The generation stays that of the first.
    public mutating func add(_ piece: DMASample) {
        bytes &+= piece.bytes
        pinTicks &+= piece.pinTicks
        writeTicks &+= piece.writeTicks
        unpinTicks &+= piece.unpinTicks
        totalTicks &+= piece.totalTicks
        gapTicks += piece.gapTicks
        retries = UInt16(clamping: Int(retries) + Int(piece.retries))
        if stalePages == 0 { firstGFN = piece.firstGFN }
        stalePages = UInt32(clamping: UInt64(stalePages) + UInt64(piece.stalePages))
        status = piece.status
    }
}
