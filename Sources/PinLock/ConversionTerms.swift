import DmaLinux
import GuestMemory

/// Whether a page is the guest's alone or may be accessed by the host: what its RMP entry says.
public enum PageState: Sendable, Equatable {
    case `private`
    case shared
}

/// What a conversion to private gets that meets a pin.
public enum ConflictPolicy: Sendable, Equatable {
    /// Refused at once, with the first pinned page.
    case deny
    /// Waits for the unpin, and keeps new pins out meanwhile; refused at the deadline.
    case wait(until: Deadline)
    /// As `wait`, and asks the devices to let their long-lived pins go.
    case revoke(until: Deadline)

    /// A policy without its deadline: what a strategy supports, what a user names.
    public enum Kind: String, BitwiseCopyable, Sendable, CaseIterable {
        case deny, wait, revoke
    }
}

/// Why a conversion was refused. Nothing has changed.
public enum ConversionRefusal: Error, Equatable, Sendable {
    /// The first pinned page (policy `deny`): EAGAIN and the offset, for the guest.
    case pinned(GFN)
    /// Still pinned at the deadline.
    case deadlinePassed(GFN)
    /// Nobody could tell in time what is pinned (policy `deny`): another thread holds what has to be looked at, or the
    /// kernel refuses a barrier. Ask again.
    case busy(GFN)
    /// The page has that state already: the guest's error.
    case alreadyInState(GFN)
    /// Another conversion of the page is under way.
    case converting(GFN)
    /// The range reaches past the guest's memory.
    case outOfRange(GFN)
}

/// How a conversion came to be carried out.
public enum ConversionPath: Sendable, Equatable {
    /// No pin was in the way.
    case immediate
    /// After the unpin it waited for.
    case waited
    /// After a device let a long-lived pin go.
    case revoked
}

/// What the caller of a conversion does at its turning points.
public struct ConversionHooks {
    /// Runs before a conversion commits: the pages are claimed, no pin of them is left and none can succeed.
    public var willCommit: (PageRange, _ to: PageState) -> Void
    /// Runs when devices must be told to look for revocations: wakes those that sleep.
    public var wakeDevices: () -> Void
    /// Runs when a conversion that was pending has ended, whether or not the pins went before its deadline: with how
    /// long it was pending.
    public var didWait: (_ nanoseconds: UInt64) -> Void

    public init(
        willCommit: @escaping (PageRange, _ to: PageState) -> Void = { _, _ in },
        wakeDevices: @escaping () -> Void = {},
        didWait: @escaping (_ nanoseconds: UInt64) -> Void = { _ in }
    ) {
        self.willCommit = willCommit
        self.wakeDevices = wakeDevices
        self.didWait = didWait
    }
}
