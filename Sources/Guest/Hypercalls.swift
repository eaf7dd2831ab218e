import GuestMemory

/// What a guest asks of its hypervisor. A real vCPU can take the place of the thread that calls it.
public protocol Hypercalls: Sendable {
    /// Asks for a page state change of the range, and returns when it has been carried out or refused.
    ///
    /// `due` is when the guest wanted to ask, in nanoseconds of CLOCK_MONOTONIC: an open loop counts from there.
    func changePageState(_ range: PageRange, toPrivate: Bool, due: UInt64) -> PageStateChange
}

/// The answer to a page state change.
public enum PageStateChange: Equatable, Sendable {
    case done
    /// A device holds that page; ask again later.
    case pinned(GFN)
    /// The hypervisor has taken that page back: it is shared, and what was in it is gone. Nothing else was changed.
    case takenBack(GFN)
    /// The guest asked for what makes no sense: a page in that state already, or outside its memory.
    case refused(GFN)
}
