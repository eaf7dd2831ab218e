import DmaLinux
import GuestMemory

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
    private let keepsItsPlace: Bool
    /// Pages of the pins that are out, without those that are kept.
    private var passing: UInt64 = 0
    /// Pins that are out inside what is kept.
    private var tokens = 0

    public init(_ pinner: any Pinner, limit: PageCount) {
        self.pinner = pinner
        self.limit = limit
        keeper = pinner as? any RegisteringPinner
        keepsItsPlace =
            (pinner as? any RegisteringPinner).map { type(of: $0).keepsItsPlace } ?? false
    }

    /// Pages that the device holds now.
    public var held: PageCount { PageCount(passing + (keeper?.keptPages ?? 0)) }

    public var kernelRefusal: SystemError? { pinner.kernelRefusal }

    public func pin(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
        if tokens == 0 { keeper?.noteIdle() }
        var (all, kept) = pages(of: ranges)
        // A keeper that never lets go for good pins a list anew that is not wholly its own.
        let isWhole = keeper == nil || keepsItsPlace
        while kept < all {
            try makeRoom(for: isWhole ? all : all - kept, at: ranges[0].start)
            // What has made room may be a part of the list, which then takes room, too.
            let left = pages(of: ranges).kept
            guard left < kept else { break }
            kept = left
        }
        var pin = try pinner.pin(ranges)
        if Registrations.isToken(pin) {
            tokens += 1
        } else if kept < all || !keepsItsPlace {
            pin.charge = all
            passing += all
            // A cache that could not keep all of the list has pinned all of it beside what it kept.
            keeper?.keepAtMost(limit.rawValue - min(limit.rawValue, passing))
            guard held <= limit else {
                unpin(pin)
                throw .overLimit(ranges[0].start)
            }
        }
        return pin
    }

    public func pinToKeep(_ ranges: Span<PageRange>) throws(PinRefusal) -> Pin {
        if tokens == 0 { keeper?.noteIdle() }
        let all = pages(of: ranges).all
        try makeRoom(for: all, at: ranges[0].start)
        var pin = try pinner.pinToKeep(ranges)
        pin.charge = all
        passing += all
        return pin
    }

    /// Pages of the list, and how many of them are within what is kept.
    private func pages(of ranges: Span<PageRange>) -> (all: UInt64, kept: UInt64) {
        var (all, kept): (UInt64, UInt64) = (0, 0)
        for index in ranges.indices {
            let pages = ranges[index].count.rawValue
            all += pages
            if keeper?.keeps(ranges[index]) == true { kept += pages }
        }
        return (all, kept)
    }

    public func unpin(_ pin: Pin) {
        if Registrations.isToken(pin) { tokens -= 1 } else { passing -= pin.charge }
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

    /// Whether what is kept has its pages also while it is let go for a conversion: then a pin of the range that is no token
    /// takes nothing beyond it.
    static var keepsItsPlace: Bool { get }

    /// To be called before a pin where no token is out: nobody uses what is kept until then.
    func noteIdle()

    /// Lets go until no more than `pages` are kept, as far as no pin uses them.
    func keepAtMost(_ pages: UInt64)
}
