import DmaLinux
import GuestMemory

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
    ///
    /// Waits for nothing past the deadline, and does a bounded piece of work after it at most.
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

/// Why a dead device's pins could not be recovered.
public enum RecoveryRefusal: Error, Equatable, Sendable, CustomStringConvertible {
    /// A living device has been stopped in the middle of a pin, past the deadline. Try again later.
    case stillMoving(DeviceID)
    /// The deadline has passed, and there is more to do: what is left goes on where this has ended.
    case outOfTime(DeviceID)
    /// The kernel refuses the barrier that a recovery needs.
    case system(SystemError)

    public var description: String {
        switch self {
        case .stillMoving(let device): "\(device) does not come out of a pin"
        case .outOfTime(let device): "the pins of \(device) could not all be taken back in time"
        case .system(let error): error.description
        }
    }
}
