import GuestMemory

/// What a guest asks of its hypervisor. One vCPU has one, and one page state change under way at a time.
public protocol Hypercalls: AnyObject {
    /// Asks for a page state change of the range. The answer, or nil where there is none yet: `poll` has it then.
    ///
    /// `due` is when the guest wanted to ask, in ticks of the vCPU's clock: an open loop counts from there.
    func begin(
        _ range: PageRange, toPrivate: Bool, due: UInt64, at moment: Moment
    ) -> PageStateChange?

    /// Looks for the answer to what was asked for last.
    func poll(at moment: Moment) -> PageStateChange?

    /// Takes back what was asked for last, and has no answer yet.
    func abandon()

    /// Asks, and returns when it has been carried out or refused; sleeps meanwhile.
    func changePageState(_ range: PageRange, toPrivate: Bool, due: UInt64) -> PageStateChange
}

extension Hypercalls {
    /// Shares what the devices are going to touch, a part at a time, until `shouldStop`. The first refusal, or nil.
    ///
    /// All memory of the guest starts private; this is the explicit conversion before any DMA.
    public func share(_ ranges: [PageRange], shouldStop: () -> Bool = { false }) -> PageStateChange?
    {
        for range in ranges {
            // A part takes some milliseconds.
            for start in stride(from: range.lower, to: range.upper, by: Int(pagesPerGiB)) {
                if shouldStop() { return nil }
                let count = min(pagesPerGiB, range.upper - start)
                let answer = changePageState(
                    PageRange(start: start, count: count), toPrivate: false, due: 0)
                if answer != .done { return answer }
            }
        }
        return nil
    }
}

/// The answer to a page state change.
public enum PageStateChange: Equatable, Sendable {
    case done
    /// A device holds that page, or nobody could tell in time; ask again later.
    case pinned(GFN)
    /// The hypervisor has taken that page back: it is shared, and what was in it is gone. Nothing else was changed.
    case takenBack(GFN)
    /// The guest asked for what makes no sense: a page in that state already, or outside its memory.
    case refused(GFN)
}
