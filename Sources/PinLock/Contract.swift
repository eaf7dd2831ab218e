import GuestMemory
import Linux

/// Whether a page is the guest's alone or may be accessed by the host: what its RMP entry says.
public enum PageState: Sendable, Equatable {
    case `private`
    case shared
}

/// The number of a device: its place in the arena's journals.
public struct DeviceID: Hashable, Sendable, CustomStringConvertible {
    public let rawValue: Int

    public init(_ rawValue: Int) {
        precondition(
            rawValue >= 0 && rawValue < Arena.deviceCapacity,
            "device \(rawValue): the arena has journals for \(Arena.deviceCapacity)")
        self.rawValue = rawValue
    }

    public var description: String { "device \(rawValue)" }
}

/// A device's claim on a range: until it is given back, no page in the range becomes private.
///
/// A token: giving it back twice, or to another device's pinner, traps. Tokens inside a registration are only counted:
/// there it traps once more are given back than are out.
public struct Pin: Sendable {
    public let range: PageRange
    public let device: DeviceID
    /// The journal entry that speaks for it, and what that entry's state word was set to.
    let entry: Int
    let ticket: UInt64
}

/// Why a pin was refused. Nothing stays pinned.
public enum PinRefusal: Error, Equatable, BitwiseCopyable, Sendable {
    /// The first private page of the range: the guest's error.
    case privatePage(GFN)
    /// A conversion is under way there: try again.
    case converting(GFN)
    /// A page's count of pins, or the device's journal, is full.
    case tooManyPins(GFN)
    /// The range reaches past the guest's memory.
    case outOfRange(GFN)
    /// The device would hold more than its part of the guest's cap: ask for less at once.
    case overLimit(GFN)
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

/// Why a dead device's pins could not be recovered.
public enum RecoveryRefusal: Error, Equatable, Sendable, CustomStringConvertible {
    /// A living device has been stopped in the middle of a pin, past the deadline. Try again later.
    case stillMoving(DeviceID)
    /// The kernel refuses the barrier that a recovery needs.
    case system(SystemError)

    public var description: String {
        switch self {
        case .stillMoving(let device): "\(device) does not come out of a pin"
        case .system(let error): error.description
        }
    }
}

/// A way of keeping devices' pins and the guest's conversions apart: the hypervisor's side.
///
/// The promise: no page is ever both pinned and private. The RMP table is the state of record; a strategy
/// that answers from a structure of its own keeps that structure in the arena's strategy section, true to the
/// table. Untouched memory means private and unpinned. All calls but `pinner` and `audit` may run on any thread.
///
/// A strategy says what a conversion has to do to its structure; the conversion is written once, in `Conversion.swift`.
public protocol PinStrategy: Sendable {
    associatedtype Device: Pinner

    static var info: StrategyInfo { get }

    /// Bytes of the arena's strategy section for a guest of that many pages.
    static func sectionByteCount(pages: PageCount) -> Int

    /// Bytes of metadata that make the strategy work for a guest of that many pages, wherever they lie. What each pin
    /// takes besides is left out: 16 bytes of journal, and what a strategy keeps with the entry.
    static func metadataByteCount(pages: PageCount) -> Int

    /// A view on the arena; any number of processes may have one.
    init(arena: Arena)

    var arena: Arena { get }

    /// Why the strategy cannot run here with devices that pin `pages` in all, and what to do; nil where it can.
    static func unavailability(pinning pages: PageCount) -> String?

    /// The device's side, for its own process. A device has one at a time, used by one thread.
    func pinner(for device: DeviceID) -> Device

    /// The same for a device that has a process around it. Throws where the kernel refuses what the strategy needs.
    func pinner(for device: DeviceID, in process: DeviceSurroundings) throws(SystemError) -> Device

    /// Answers what a device's side asks on its socket, until the device says that it is done or has gone. Its pins
    /// are left for `recover` where it has gone. `takeBack` makes pages shared again against the guest's will.
    /// Throws where the conversation cannot go on: then the device waits for an answer that never comes.
    func serve(
        _ device: DeviceID, on socket: Int32, takeBack: (PageRange) -> Bool
    ) throws(SystemError)

    /// From its return on, a pin of a page in the range fails, or has begun before and is found by `search`. The pages
    /// are claimed in the table. Throws where the kernel refuses a barrier that it takes; then the range is to be opened.
    func close(_ range: PageRange) throws(SystemError)

    /// Looks for the lowest page of the range that is pinned now, after `close`. Reads counts with sequential
    /// consistency; waits for a mutex for so many nanoseconds at most.
    func search(_ range: PageRange, within nanoseconds: UInt64) -> PinSearch

    /// Called by a conversion that has become an onlooker: from its return on, every unpin has been seen by a later
    /// search, or sees the onlooker. Where unpins are plain stores that takes a barrier on all processors, which the
    /// kernel may refuse; elsewhere nothing.
    func meetUnpins() throws(SystemError)

    /// Pins of pages in the range may succeed again: their conversion to private was refused, or they have become
    /// shared.
    func open(_ range: PageRange)

    /// Begins to convert every page of the range, or none: what the guest asked for. Never sleeps, and takes no longer
    /// than `search` may.
    ///
    /// Refuses what the guest got wrong (a page in that state already, a range outside its memory), what another
    /// conversion holds, and what the policy says of a pinned page. The three steps of a conversion are written once, in
    /// an extension; they are requirements so that the compiler makes them for each strategy.
    func begin(
        _ range: PageRange, to state: PageState, policy: ConflictPolicy, hooks: ConversionHooks
    ) throws(ConversionRefusal) -> ConversionStep

    /// Looks at a pending conversion again: how it was carried out, or nil where it is still pending. Costs two loads
    /// while nothing has been let go. Refuses at the deadline.
    func poll(
        _ pending: inout PendingConversion, hooks: ConversionHooks
    ) throws(ConversionRefusal) -> ConversionPath?

    /// Gives a pending conversion up: its pages are as they were.
    func abandon(_ pending: PendingConversion, hooks: ConversionHooks)

    /// The same from beginning to end; the calling thread sleeps where the policy waits.
    func convert(
        _ range: PageRange, to state: PageState, policy: ConflictPolicy, hooks: ConversionHooks
    ) throws(ConversionRefusal) -> ConversionPath

    /// Undoes what is left of a dead device's pins; the others' are untouched. Call it once the process has been
    /// reaped and nothing it had in flight can write any more. Returns how many pins there were.
    func recover(_ device: DeviceID, until deadline: Deadline) throws(RecoveryRefusal) -> Int

    /// The first disagreement between the strategy's structure, the table and the journals, in words; nil where all
    /// agree. Nothing else runs meanwhile.
    func audit() throws(SystemError) -> String?
}

extension PinStrategy {
    public static func unavailability(pinning pages: PageCount) -> String? { nil }
    public func pinner(
        for device: DeviceID, in process: DeviceSurroundings
    ) throws(SystemError) -> Device {
        pinner(for: device)
    }
    public func meetUnpins() throws(SystemError) {}
    public func serve(
        _ device: DeviceID, on socket: Int32, takeBack: (PageRange) -> Bool
    ) throws(SystemError) {}
}

/// What a device's process has besides the arena.
public struct DeviceSurroundings {
    /// Guest memory as the process maps it.
    public let memory: GuestView
    /// A packet socket, at whose other end the hypervisor runs the strategy's `serve`.
    public let hypervisor: Int32

    public init(memory: GuestView, hypervisor: Int32) {
        self.memory = memory
        self.hypervisor = hypervisor
    }
}

/// A way of keeping devices' pins and the guest's conversions apart: one device's side.
public protocol Pinner: AnyObject {
    /// Pins every page of the range, or none.
    ///
    /// Acquires: what the conversions that made these pages shared did before is visible after it.
    func pin(_ range: PageRange) throws(PinRefusal) -> Pin

    /// Gives a pin back. Releases: every store of the DMA is ordered before it, once non-temporal ones are fenced.
    func unpin(_ pin: Pin)

    /// Takes what the strategy wants pinned from set-up on. Untimed by the request, timed by the set-up.
    func register(_ ranges: [PageRange]) throws(PinRefusal)

    /// Gives back what `register` took.
    func unregister()

    /// Lets long-lived pins go that a conversion waits for. Cheap when there is nothing to do; call it between
    /// requests.
    func serviceRevocations()

    /// What the kernel said when it last refused the device a pin: `PinRefusal.tooManyPins` has no room for it. Nil
    /// where it has refused none.
    var kernelRefusal: SystemError? { get }
}

extension Pinner {
    public var kernelRefusal: SystemError? { nil }
    public func register(_ ranges: [PageRange]) throws(PinRefusal) {}
    public func unregister() {}
    public func serviceRevocations() {}
}

/// What a device asks of a hypervisor that serves it: to have this page shared again. The answer is a Bool.
public struct PageRequest: BitwiseCopyable, Sendable {
    public let gfn: GFN

    /// No page: the device asks for nothing more.
    static let none = GFN(UInt64.max)

    public init(gfn: GFN) { self.gfn = gfn }
}
