import GuestMemory

/// The number of a device: its place in the arena's journals.
public struct DeviceID: BitwiseCopyable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: Int

    public init(_ rawValue: Int) {
        precondition(
            rawValue >= 0 && rawValue < Arena.deviceCapacity,
            "device \(rawValue): the arena has journals for \(Arena.deviceCapacity)")
        self.rawValue = rawValue
    }

    public var description: String { "device \(rawValue)" }
}

/// A device's claim on a list of ranges: until it is given back, no page in them becomes private.
///
/// A token: giving it back twice, to another device's pinner, or to the device's own in a later life, traps. Tokens
/// inside a registration are only counted: there giving back twice traps once more are given back than are out.
public struct Pin: BitwiseCopyable, Sendable {
    /// The most ranges that a pin can have: whoever needs more takes several.
    public static var rangeLimit: Int { Journal.rangeLimit }

    /// From the lowest page to the highest; of a token that stands for no pin of its own, the list's first range.
    public let range: PageRange
    public let device: DeviceID
    /// The journal entry or the slot that speaks for it, and the number that it has for this pin and no other.
    let entry: Int
    let ticket: UInt64
    /// Where the journal has the ranges, if there are several; `single` where `range` says it all.
    let list: Int
    /// Pages that a limit on what its device holds has counted for it.
    var charge: UInt64 = 0

    static let single = -1

    init(range: PageRange, device: DeviceID, entry: Int, ticket: UInt64, list: Int = Pin.single) {
        self.range = range
        self.device = device
        self.entry = entry
        self.ticket = ticket
        self.list = list
    }
}

/// Why a pin was refused. Nothing stays pinned.
public enum PinRefusal: Error, Equatable, BitwiseCopyable, Sendable {
    /// The first private page of the range: the guest's error.
    case privatePage(GFN)
    /// A conversion is under way there, or a page's count is full for the moment: try again.
    case converting(GFN)
    /// A page's count is full of held pins, or the device's journal is: only an unpin makes room.
    case tooManyPins(GFN)
    /// The range reaches past the guest's memory.
    case outOfRange(GFN)
    /// The device would hold more than its part of the guest's cap: ask for less at once.
    case overLimit(GFN)
}

extension PinRefusal {
    /// The first of the ranges that reaches past a guest of so many pages.
    @inline(never)
    static func outside(_ ranges: Span<PageRange>, _ pages: PageCount) -> PinRefusal {
        outside(ranges[ranges.indices.first { ranges[$0].upper > pages.rawValue }!], pages)
    }

    @inline(never)
    static func outside(_ range: PageRange, _ pages: PageCount) -> PinRefusal {
        .outOfRange(GFN(max(range.lower, pages.rawValue)))
    }
}
