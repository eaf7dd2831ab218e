import GuestMemory
import Linux

/// A device's side that may hold so many pages at once, and no more.
///
/// A guest's cap on pinned memory is dealt out to its devices in equal parts, and each keeps to its own. So no counter
/// is shared, a pin touches nothing more that others touch, and the death of a device leaves nothing to be put right:
/// its part goes with it. Where no cap is set, this type is not used, and nothing is paid for it.
///
/// A page counts as often as it is pinned, as with RLIMIT_MEMLOCK in io_uring and VFIO; pins inside what is kept beyond
/// a DMA take nothing more. Kept pins that no DMA uses make room before a pin is refused.
public final class LimitedPinner: Pinner {
    public let limit: PageCount
    private let pinner: any Pinner
    /// The same, where it keeps pins beyond a DMA.
    private let keeper: (any RegisteringPinner)?
    /// Pages of the pins that are out, without those that are kept.
    private var passing: UInt64 = 0
    /// Pins that are out inside what is kept.
    private var tokens = 0
    /// Entries of pins that are no tokens and yet within what is kept, since that has been let go for the moment.
    private var inPlaceOfKept: Set<Int> = []

    public init(_ pinner: any Pinner, limit: PageCount) {
        self.pinner = pinner
        self.limit = limit
        keeper = pinner as? any RegisteringPinner
    }

    /// Pages that the device holds now.
    public var held: PageCount { PageCount(passing + (keeper?.keptPages ?? 0)) }

    public var kernelRefusal: SystemError? { pinner.kernelRefusal }

    public func pin(_ range: PageRange) throws(PinRefusal) -> Pin {
        if tokens == 0 { keeper?.noteIdle() }
        if keeper?.keeps(range) != true { try makeRoom(for: range.count.rawValue, at: range.start) }
        let pin = try pinner.pin(range)
        if Registrations.isToken(pin) {
            tokens += 1
        } else if keeper?.standsInForKept(pin) == true {
            inPlaceOfKept.insert(pin.entry)
        } else {
            passing += range.count.rawValue
        }
        return pin
    }

    public func unpin(_ pin: Pin) {
        if Registrations.isToken(pin) {
            tokens -= 1
        } else if inPlaceOfKept.remove(pin.entry) == nil {
            passing -= pin.range.count.rawValue
        }
        pinner.unpin(pin)
    }

    public func register(_ ranges: [PageRange]) throws(PinRefusal) {
        if let keeper, let first = ranges.first {
            try makeRoom(for: keeper.pagesToRegister(ranges), at: first.start)
        }
        try pinner.register(ranges)
    }

    public func unregister() { pinner.unregister() }
    public func serviceRevocations() { pinner.serviceRevocations() }

    private func makeRoom(for pages: UInt64, at start: GFN) throws(PinRefusal) {
        guard passing + pages <= limit.rawValue else { throw .overLimit(start) }
        if held.rawValue + pages > limit.rawValue {
            keeper?.keepAtMost(limit.rawValue - passing - pages)
        }
        guard held.rawValue + pages <= limit.rawValue else { throw .overLimit(start) }
    }
}

/// A device's side that keeps pins beyond a DMA: what a limit on pins has to know of them.
protocol RegisteringPinner: Pinner {
    /// Pages that are kept now. What was let go for a conversion and will be taken back counts as kept.
    var keptPages: UInt64 { get }

    /// Pages that `register` would pin at once.
    func pagesToRegister(_ ranges: [PageRange]) -> UInt64

    /// Whether a pin of the range takes nothing beyond what is kept.
    func keeps(_ range: PageRange) -> Bool

    /// Whether a pin that has just been taken, and is no token, took nothing beyond what is kept.
    func standsInForKept(_ pin: Pin) -> Bool

    /// To be called before a pin where no token is out: nobody uses what is kept until then.
    func noteIdle()

    /// Lets go until no more than `pages` are kept, as far as no pin uses them.
    func keepAtMost(_ pages: UInt64)
}
